"""``kdzoo wandb`` with the folders of runs and suites."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kdzoo.api.observer import EpochEnded, Job, RunEnded, RunStarted
from kdzoo.cli.wandb import wandb
from kdzoo.errors import KdzooError
from kdzoo.observers.journal import Journal
from kdzoo.owner import Owner
from tests.observers.loopback_wandb import LoopbackWandb
from tests.observers.wandb_sandbox import HANGS, KEY, Sandbox, of_type, rows


@pytest.mark.slow
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


def test_a_suite_is_uploaded_as_one_group_and_never_twice(tmp_path: Path):
    """From nodes without a network: runs that have ended at once, those in training when they have."""
    folder, sandbox = tmp_path / "suite", Sandbox(tmp_path)
    places = [folder / "jobs" / f"run-{number}" for number in range(3)]
    for place in places:
        place.mkdir(parents=True)
        journal = Journal(place / "metrics.jsonl")
        journal.observe(RunStarted(place, Job(place.name, suite="cifar"), {"roles": {}}))
        journal.observe(EpochEnded("distill", 1, {"train/task": 1.0}))
        journal.observe(RunEnded(place, {"test/last": 80.0}))

    def call(*arguments: str, **env: str) -> str:
        out, err = (process := sandbox.python("-m", "kdzoo", "wandb", *arguments, **env)).communicate(
            timeout=HANGS
        )
        assert process.returncode == 0, out + err
        return out

    offline = {"WANDB_MODE": "offline", "WANDB_DIR": str(folder)}
    call(str(places[0]), str(places[1]), **offline)
    with LoopbackWandb() as server:
        online = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
        with Owner(places[1]).held():
            said = call("sync", str(folder), **online)
        assert said.splitlines()[-1] == "1 run uploaded, 1 still in training: sync again when they have ended"
        assert call("sync", str(folder), **online).splitlines()[-1] == "1 run uploaded"
        call(str(places[2]), **offline)
        assert call("sync", str(folder), **online).splitlines()[-1] == "1 run uploaded"
    assert {run.name: run.group for run in server.runs.values()} == {place.name: "cifar" for place in places}
    for run in server.runs.values():
        assert [row["epoch"] for row in run.history] == [1]
        assert run.exit_code == 0
