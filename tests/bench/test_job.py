"""What a job does with its tasks, in real processes; the runs are pretended."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo.bench.executors.config import ClusterConfig
from kdzoo.bench.executors.job import Pack, await_end
from kdzoo.bench.executors.plan_file import write_plan
from kdzoo.bench.executors.record import Record, forget, position, read_record, write_record
from kdzoo.bench.executors.settings import Settings, write_settings
from kdzoo.bench.plan import Plan
from kdzoo.bench.planner import Planner
from kdzoo.bench.task import Task
from kdzoo.owner import Owner
from kdzoo.registry.load import load_registry
from kdzoo.registry.model import Suite
from kdzoo.stopping import Stop, Stopped
from kdzoo.zoo import Zoo

SUITE: dict[str, Any] = {
    "pairs": [{"teacher": {"model": "test_resnet", "epochs": 13}, "student": "test_efficientnet"}],
    "methods": ["kd", "dkd"],
    "seeds": [0, 1],
    "epochs": 2,
}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    zoo = Zoo()
    suite = Suite.model_validate(SUITE)
    folder = tmp_path_factory.mktemp("plan")
    return Planner("mini", suite, output=folder, zoo=zoo, registry=load_registry(zoo)).plan()


@pytest.fixture
def folder(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KDZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    write_plan(tmp_path, [*plan.teachers.values(), *plan.tasks])
    settings = Settings(suite="mini", cluster="slurm", config=ClusterConfig(), threads=1, since=1.0)
    write_settings(tmp_path, settings)
    return tmp_path


@pytest.fixture
def keys(plan: Plan) -> dict[str, str]:
    """By the names of the jobs."""
    return {task.job.name: task.key for task in (*plan.teachers.values(), *plan.tasks)}


def test_one_that_dies_is_recorded_and_the_others_go_on(folder: Path, keys: dict[str, str]) -> None:
    from pretended import pretend

    wanted = [keys["dkd seed 1"], keys["baseline seed 0"]]
    assert not Pack(folder, wanted, pretend).run(Stop(once=True))
    failed, done = (read_record(folder / key) for key in wanted)
    assert (failed.outcome, failed.error) == (
        "failed",
        "the worker process was killed by SIGKILL, perhaps out of memory",
    )
    assert failed.error in (folder / wanted[0] / "error.txt").read_text()
    assert (done.outcome, [one.how for one in done.attempts]) == ("done", ["done"])
    assert done.attempts[0].node
    assert done.attempts[0].ended is not None
    # done is done
    assert Pack(folder, wanted[1:], pretend).run(Stop(once=True))
    assert read_record(folder / wanted[1]) == done


def test_without_its_teacher_nothing_is_tried(folder: Path, keys: dict[str, str]) -> None:
    from pretended import pretend

    assert not Pack(folder, [keys["teacher test_resnet"]], pretend).run(Stop(once=True))
    assert not Pack(folder, [keys["kd seed 0"]], pretend).run(Stop(once=True))
    assert read_record(folder / keys["kd seed 0"]).error == (
        "teacher test_resnet could not be trained: RuntimeError: unlucky"
    )
    assert not (folder / keys["kd seed 0"] / "metrics.jsonl").exists()


def interrupted(folder: Path, key: str) -> list[str]:
    """What goes on after a job that met its limit."""
    from pretended import linger

    begun = folder / key / "begun"
    begun.unlink(missing_ok=True)
    pack, going_on = Pack(folder, [key], linger), []

    def near(number: int, frame: object) -> None:  # as submitit has it
        going_on.extend(pack.interrupt())
        raise SystemExit

    def limit() -> None:
        while not begun.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, near)
    threading.Thread(target=limit).start()
    with pytest.raises(SystemExit):
        pack.run(Stop(once=True))
    signal.signal(signal.SIGUSR1, before)
    return going_on


def test_a_limit_met_three_times_without_progress_is_a_failure(folder: Path, keys: dict[str, str]) -> None:
    key = keys["baseline seed 0"]
    assert [interrupted(folder, key) for _ in range(3)] == [[key], [key], []]
    record = read_record(folder / key)
    assert record.outcome == "failed"
    assert record.error == "met the time limit of its job 3 times without progress; its jobs need more time"
    assert "3 times" in (folder / key / "error.txt").read_text()


def test_with_progress_it_goes_on(folder: Path, keys: dict[str, str]) -> None:
    key = keys["baseline seed 1"]
    assert [interrupted(folder, key) for _ in range(4)] == [[key]] * 4
    assert [one.how for one in read_record(folder / key).attempts] == ["limit"] * 4


def test_a_wish_to_stop_saves_and_is_no_failure(folder: Path, keys: dict[str, str]) -> None:
    from pretended import linger

    key, stop = keys["baseline seed 0"], Stop(once=True)

    def ask() -> None:
        while not (folder / key / "begun").exists():
            time.sleep(0.05)
        stop.asked = signal.SIGTERM

    threading.Thread(target=ask).start()
    with pytest.raises(Stopped):
        Pack(folder, [key], linger).run(stop)
    record = read_record(folder / key)
    assert (record.outcome, record.attempts[-1].how) == (None, "stopped")


def test_attempts_that_somebody_stopped_are_no_sign_of_being_stuck(
    plan: Plan, tmp_path: Path, edit: Callable[[Task], Task]
) -> None:
    task, record = edit(plan.tasks[0]), Record()
    for how in ("stopped", "stopped", "stopped", "limit", "limit"):
        record = record.begun(task).ended(how)
    assert record.stuck(task) is None
    record = record.begun(task)  # killed
    assert record.stuck(task) is not None
    before = position(task)
    (task.folder / "checkpoint").mkdir(parents=True)
    (task.folder / "checkpoint" / "last.ckpt").write_bytes(b"x" * 100)
    assert position(task) != before
    assert record.stuck(task) is None
    write_record(task.folder, record)
    forget(task.folder)
    assert read_record(task.folder) == Record()


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Task], Task]:
    from dataclasses import replace

    monkeypatch.setenv("KDZOO_CACHE", str(tmp_path / "cache"))
    return lambda task: replace(task, folder=tmp_path / task.key)


def test_an_attempt_waits_for_the_end_of_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, ended = Owner(tmp_path), []
    before.take()

    def end() -> None:
        ended.append(time.monotonic())
        before.release()

    threading.Timer(0.5, end).start()
    await_end(tmp_path)
    assert ended
    assert f"process {os.getpid()} on " in capsys.readouterr().out
    with Owner(tmp_path).held() as note:
        assert note is None
