"""The pool with good, failing, dying and interrupted tasks, in real processes."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from kdzoo.bench.crew import crew
from kdzoo.bench.pool import Outcome, Pool
from kdzoo.errors import KdzooError

HERE = Path(__file__).parent


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Any:
    # workers are new interpreters: they find the module as this one does, on the path
    monkeypatch.syspath_prepend(str(HERE))
    from pretended import act

    return act


def run(pool: Pool, tasks: dict[str, dict[str, Any]]) -> dict[str, Outcome]:
    waiting, outcomes = dict(tasks), {}
    while waiting or pool.busy:
        while pool.idle and waiting:
            key = next(iter(waiting))
            pool.submit(key, waiting.pop(key))
        outcomes |= {outcome.key: outcome for outcome in pool.wait()}
    return outcomes


def test_one_bad_task_costs_itself_and_nothing_else(act: Any) -> None:
    tasks = {
        "a": {"do": "square", "number": 3},
        "user": {"do": "user error"},
        "raise": {"do": "raise"},
        "exit": {"do": "exit"},
        "vanish": {"do": "vanish"},
        "kill": {"do": "kill"},
        "stop": {"do": "stop"},
        "b": {"do": "square", "number": 4},
        "c": {"do": "square", "number": 5},
    }
    with Pool(act, [{}, {}]) as pool:
        outcomes = run(pool, tasks)
    assert outcomes.keys() == tasks.keys()
    assert [outcomes[key].value["value"] for key in "abc"] == [9, 16, 25]
    assert outcomes["user"].error == "data.lr: not a number"
    assert outcomes["raise"].error == "RuntimeError: first line"
    assert "second line" in outcomes["raise"].traceback
    assert "in act" in outcomes["raise"].traceback
    assert outcomes["exit"].error == "SystemExit: a plugin exits"
    assert outcomes["vanish"].error == "the worker process exited with code 7"
    assert outcomes["stop"].error == "the worker process was stopped by SIGTERM"
    assert outcomes["kill"].error == "the worker process was killed by SIGKILL, perhaps out of memory"


def test_a_worker_lives_from_task_to_task(act: Any) -> None:
    with Pool(act, [{}]) as pool:
        outcomes = run(pool, {str(number): {"do": "square", "number": number} for number in range(3)})
    assert len({outcome.value["pid"] for outcome in outcomes.values()}) == 1


def test_a_worker_that_died_idle_is_replaced(act: Any) -> None:
    with Pool(act, [{}]) as pool:
        pid = run(pool, {"a": {"do": "square", "number": 1}})["a"].value["pid"]
        os.kill(pid, signal.SIGKILL)
        os.waitid(
            os.P_PID, pid, os.WEXITED | os.WNOWAIT
        )  # all of its threads are gone, and nobody has looked
        assert run(pool, {"b": {"do": "square", "number": 2}})["b"].value["value"] == 4


def test_the_environment_is_set_before_anything_is_imported(act: Any) -> None:
    environments = crew(2, cores=5, devices=("3",)).environments
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES"]
    with Pool(act, environments) as pool:
        outcomes = run(pool, {"a": {"do": "environment", "names": names}, "b": {"do": "square", "number": 1}})
    assert outcomes["a"].value == dict(zip(names, ["2", "2", "3"], strict=True))
    assert not outcomes["b"].value["torch"], "the pool itself imports torch in its workers"
    assert os.environ.get("CUDA_VISIBLE_DEVICES") != "3", "the parent's own environment was changed"


def test_what_workers_print_goes_to_their_log(
    act: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Pool(act, [{}], logs=tmp_path / "logs") as pool:
        run(pool, {"a": {"do": "print"}})
    assert (tmp_path / "logs" / "worker-0.log").read_text() == "said by a worker\n"
    assert "said" not in "".join(capfd.readouterr())


def test_an_error_in_the_parent_stops_the_workers_in_order(act: Any, tmp_path: Path) -> None:
    started, ended = tmp_path / "started", tmp_path / "ended"
    with suppress(KeyboardInterrupt), Pool(act, [{}]) as pool:
        pool.submit("a", {"do": "hang", "started": str(started), "ended": str(ended)})
        pid = wait_for(started)
        raise KeyboardInterrupt
    assert ended.read_text() == "in order"
    assert not alive(pid)


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    started = tmp_path / "started"
    program = (
        "from pretended import act; from kdzoo.bench.pool import Pool\n"
        "if __name__ == '__main__':\n"
        "    with Pool(act, [{}]) as pool:\n"
        f"        pool.submit('a', {{'do': 'hang', 'started': {str(started)!r}, 'ended': {str(tmp_path / 'e')!r}}})\n"
        "        pool.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(HERE)})
    pid = wait_for(started)
    parent.kill()
    parent.wait()
    wait_until_dead(pid)


def test_workers_times_threads_never_exceed_the_cores() -> None:
    for cores in range(1, 20):
        assert crew(None, cores).threads * len(crew(None, cores).devices) == cores
        for workers in range(1, cores + 1):
            assert crew(workers, cores).threads * workers <= cores
    assert crew(None, 16, ("0", "1")).devices == ("0", "1")
    assert crew(None, 16, ("0", "1")).threads == 8
    assert crew(1, 16, at_most=4).threads == 4
    assert crew(8, 16, at_most=4).threads == 2
    with pytest.raises(KdzooError, match="--workers 3: this machine has 2 cores"):
        crew(3, 2)


def wait_for(path: Path) -> int:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.02)
    return int(path.read_text())


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + 60
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.02)
