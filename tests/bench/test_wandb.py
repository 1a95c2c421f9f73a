"""``kdzoo wandb`` with the folders of runs and suites."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kdzoo.cli.wandb import wandb
from kdzoo.errors import KdzooError
from kdzoo.owner import Owner
from tests.observers.wandb_sandbox import Sandbox, of_type, rows


def test_all_of_a_suite_is_logged(write_suite: Callable[..., Path], tmp_path: Path):
    folder = write_suite({"baseline": [80.0, None], "kd": [90.0]})
    (folder / "jobs" / "run-1-0" / "student").mkdir()
    (folder / "jobs" / "run-1-0" / "student" / "model.safetensors").write_bytes(b"weights")
    sandbox = Sandbox(tmp_path)
    process = sandbox.python("-m", "kdzoo", "wandb", str(folder))
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    logs = sorted(folder.glob("wandb/offline-run-*"), key=lambda log: log.stat().st_ctime)
    places = [folder / "jobs" / name for name in ("run-0-0", "run-0-1", "run-1-0")]
    lines = {f"{place}: offline; upload it by: wandb sync " for place in (*places, folder)}
    told = dict(line.rsplit(" ", 1) for line in out.splitlines())
    assert {f"{line} " for line in told} == lines
    assert {Path(log) for log in told.values()} == set(logs), "in one place, as kdzoo bench has it"

    finished, unfinished, _, board = (
        sandbox.records(Path(told[f"{place}: offline; upload it by: wandb sync"]))
        for place in (*places, folder)
    )
    assert [row["epoch"] for row in rows(finished)] == [1, 2, 3, 4, 5, 6]
    assert of_type(finished, "exit")[0].get("exit_code", 0) == 0
    assert of_type(unfinished, "exit")[0]["exit_code"] == 1
    (run,) = of_type(board, "run")
    assert (run["run_group"], run["job_type"]) == ("quick", "leaderboard")
    assert rows(board)[0]["leaderboard.nrows"] == 2


def test_one_bad_folder_refuses_all(write_suite: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    folder = write_suite({"baseline": [80.0]})
    run = folder / "jobs" / "run-0-0"
    with pytest.raises(KdzooError, match=r"nowhere/metrics\.jsonl: cannot be read"):
        wandb([run, folder / "nowhere"])
    with Owner(run).held(), pytest.raises(KdzooError, match="writes this folder"):
        wandb([run])
    (folder / "jobs" / "run-0-1").mkdir()
    (folder / "jobs" / "run-0-1" / "metrics.jsonl").write_text("{}\n[]\n{}\n")
    with pytest.raises(KdzooError, match=r"run-0-1/metrics\.jsonl, line 2"):
        wandb([folder])
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(KdzooError, match="WANDB_MODE"):
        wandb([run])
    assert not list(folder.rglob("wandb*"))
