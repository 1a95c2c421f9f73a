import signal
from dataclasses import replace
from pathlib import Path

import pytest

from kdzoo.api import RunEnded, RunStarted
from kdzoo.observers.wandb import Wandb

from .loopback_wandb import LoopbackWandb
from .wandb_child import JOB, RECIPE
from .wandb_sandbox import HANGS, KEY, Sandbox, of_type, rows


def logged(epochs: list[int]) -> list[dict[str, float]]:
    return [{"epoch": one, "train/task": 1 / one, "val/accuracy": 80.0 + one} for one in epochs]


def test_a_killed_run_keeps_its_rows_and_a_resumed_one_is_uploaded_as_one_run(sandbox: Sandbox):
    process = sandbox.start(epochs=[1, 2, 3], end="killed")
    assert process.stdout
    tracker = process.stdout.readline()
    err = sandbox.finish(process, code=-signal.SIGKILL)
    assert err == "", "without a login, offline is what is expected: nothing to warn of"
    sandbox.end_of(tracker)
    (killed,) = sandbox.logs()
    records = sandbox.records(killed)
    assert of_type(records, "exit")[0]["exit_code"] == 1
    assert rows(records) == logged([1, 2, 3])
    (run,) = of_type(records, "run")
    assert run["project"] == "kdzoo"
    assert run["run_group"] == JOB.suite
    assert run["job_type"] == JOB.kind
    assert run["tags"] == list(JOB.tags)
    assert run["display_name"] == JOB.name
    config = run["config"]["update"]
    assert {key: config[key] for key in RECIPE} == RECIPE
    defined = [(one.get("glob_name"), one["step_metric"]) for one in of_type(records, "metric")]
    assert defined == [("*", "epoch")]

    sandbox.play(epochs=[3, 4], resumed=True)
    again = sandbox.logs()[1]
    records = sandbox.records(again)
    assert of_type(records, "run")[0]["run_id"] == run["run_id"]
    assert of_type(records, "exit")[0].get("exit_code", 0) == 0

    with LoopbackWandb() as server:
        sandbox.wandb("sync", str(again), str(killed), WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY)
    received = server.runs[run["run_id"]]
    assert [row.get("epoch") for row in received.history] == [1, 2, 3, 3, 4, 4]  # the last is the picture
    assert received.summary["test/last"] == 83.25
    assert received.exit_code == 0
    assert received.config["roles"] == RECIPE["roles"]
    assert server.artifacts["kd-big-small-0"].files["model.safetensors"] == b"weights of the student"
    assert server.artifacts["kd-big-small-0"].committed
    assert not any(path.exists() for path in (sandbox.home / ".netrc", sandbox.home / ".config"))


def test_a_failed_run_is_marked_so(sandbox: Sandbox):
    elsewhere = sandbox.folder / "elsewhere"
    err = sandbox.play(
        epochs=[1], end="failed", WANDB_MODE="offline", WANDB_API_KEY=KEY, WANDB_DIR=str(elsewhere)
    )
    assert err == ""
    assert sandbox.logs() == []
    (log,) = elsewhere.glob("wandb/offline-run-*")
    records = sandbox.records(log)
    assert of_type(records, "exit")[0]["exit_code"] == 1
    assert rows(records) == logged([1])
    (alert,) = of_type(records, "alert")
    assert (alert["text"], alert["level"]) == ("NotFinite: the loss is not finite", "ERROR")


def test_the_offline_runs_of_a_folder_are_uploaded_in_one_command(sandbox: Sandbox):
    sandbox.play(epochs=[1, 2])
    (log,) = sandbox.logs()
    with LoopbackWandb() as server:
        env = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
        command = ("-m", "kdzoo", "wandb", "sync", str(sandbox.folder))
        done = sandbox.python(*command, **env)
        out, err = done.communicate(timeout=HANGS)
        assert done.returncode == 0, out + err
    assert "1 run uploaded" in out
    (run,) = server.runs.values()
    assert [row["epoch"] for row in run.history[:2]] == [1, 2]
    assert list(log.glob("*.synced"))
    again = sandbox.python(*command)
    assert "no offline run of wandb in it" in sandbox.finish(again, code=2)


def test_in_a_sweep_the_teachers_training_is_no_wandb_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    observer = Wandb()
    observer.observe(RunStarted(tmp_path, replace(JOB, kind="teacher"), RECIPE))
    observer.observe(RunEnded(tmp_path, {}))
    assert list(tmp_path.iterdir()) == []


def test_disabled_leaves_nothing(sandbox: Sandbox):
    assert sandbox.play(epochs=[1], leaderboard=True, WANDB_MODE="disabled", WANDB_API_KEY=KEY) == ""
    assert not (sandbox.folder / "wandb").exists()


def test_the_observers_import_neither_torch_nor_wandb(sandbox: Sandbox):
    names = [path.stem for path in (Path(__file__).parents[2] / "kdzoo" / "observers").glob("[a-z]*.py")]
    assert "wandb" in names
    script = f"""
import importlib, sys
for name in {names}: importlib.import_module("kdzoo.observers." + name)
assert not {{"torch", "wandb"}} & set(sys.modules)
"""
    sandbox.finish(sandbox.python("-c", script))
