"""wandb is killed or stopped in the middle of a run."""

import pytest

from .wandb_child import JOB
from .wandb_sandbox import Sandbox, of_type, rows

EPOCHS = list(range(1, 41))


@pytest.mark.parametrize(
    "loss", ["core SIGKILL", pytest.param("core SIGSTOP", marks=pytest.mark.slow), "tracker SIGKILL"]
)
def test_a_run_whose_tracker_is_lost_is_logged_again_as_a_whole(sandbox: Sandbox, loss: str):
    process = sandbox.start(epochs=EPOCHS, end=loss, WANDB_FINISH_TIMEOUT="1")
    assert process.stdout
    family = process.stdout.readline()
    (line,) = sandbox.finish(process).splitlines()
    sandbox.end_of(family)
    log = sandbox.logs()[-1]
    assert line.startswith("wandb: ")
    assert line.endswith(f"all of the run is logged again: offline; upload it by: wandb sync {log}")
    records = sandbox.records(log)
    assert [row["epoch"] for row in rows(records)] == [*EPOCHS, EPOCHS[-1]]  # the last is the picture
    (run,) = of_type(records, "run")
    assert run["display_name"] == JOB.name
    assert run["run_id"] == (sandbox.folder / "wandb-run-id.txt").read_text().strip()
    assert of_type(records, "exit")[0].get("exit_code", 0) == 0
