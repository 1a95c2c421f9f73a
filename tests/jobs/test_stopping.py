"""A run that is asked to stop saves after its step, and goes on from there as if nothing had been."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdzoo.builtin.distill import Distill
from kdzoo.engine.listeners import Listener, Moment
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.model import Recipe
from kdzoo.stopping import SIGNALS, Stop, Stopped
from kdzoo.zoo import Zoo

from .runs import small, student_hash

FEW = {"data.train_per_class": 2, "data.test_per_class": 2, "epochs": 2, "checkpoint_seconds": 1e9}


class Signal(Listener):
    """Sends signals to this process when a step begins."""

    def __init__(self, step: int, *numbers: int) -> None:
        self.step, self.numbers = step, numbers
        self.steps = 0

    def step_began(self, run: Any, batch: Any, moment: Moment) -> None:
        self.steps += 1
        if self.steps == self.step:
            for number in self.numbers:
                os.kill(os.getpid(), number)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return small("baseline", **FEW)


@pytest.fixture(scope="module")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(recipe, folder, zoo=Zoo())
    return student_hash(folder)


def stopped(recipe: Recipe, folder: Path, listener: Listener) -> Stopped:
    stop = Stop()
    with pytest.raises(Stopped) as error, stop.listening():
        train(recipe, folder, zoo=Zoo(), listeners=[listener], stop=stop)
    return error.value


@pytest.mark.parametrize("step", [2, 5, 10], ids=["in an epoch", "at its end", "at the end of training"])
@pytest.mark.parametrize("number", SIGNALS)
def test_the_step_is_finished_saved_and_gone_on_from(
    recipe: Recipe, whole: str, tmp_path: Path, number: int, step: int
) -> None:
    before = signal.getsignal(number)
    listener = Signal(step, number)
    error = stopped(recipe, tmp_path / "run", listener)
    assert error.exit_code == 128 + number
    assert listener.steps == step, "nothing after the step"
    rows = read_journal(tmp_path / "run" / "metrics.jsonl")
    assert rows[-1]["event"] == "stopped"
    assert rows[-1]["why"] == str(error)
    assert signal.getsignal(number) == before
    again = Signal(0)
    train(recipe, tmp_path / "run", zoo=Zoo(), resume=True, listeners=[again])
    assert again.steps == 10 - step, "no step is lost or done twice"
    assert student_hash(tmp_path / "run") == whole
    assert "stopped" not in [row["event"] for row in read_journal(tmp_path / "run" / "metrics.jsonl")]


def test_the_second_signal_stops_at_once(recipe: Recipe, tmp_path: Path) -> None:
    error = stopped(recipe, tmp_path / "run", Signal(2, signal.SIGUSR1, signal.SIGTERM))
    assert error.number == signal.SIGTERM
    assert not list(tmp_path.glob("run/checkpoint/*")), "nothing was saved"


def test_what_is_not_trained_yet_stops_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    class Signalling(Zoo):
        def find(self, kind: Any, name: str) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().find(kind, name)

    stop = Stop()
    with pytest.raises(Stopped), stop.listening():
        train(small("baseline", **FEW), tmp_path / "run", zoo=Signalling(), stop=stop)
    assert not (tmp_path / "run").exists()


def test_a_worker_heeds_the_first_signal_only() -> None:
    stop = Stop(once=True)
    with stop.listening([signal.SIGTERM]), stop.waiting():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.asked == signal.SIGTERM


def test_forked_readers_leave_ctrl_c_to_the_process_that_they_read_for() -> None:
    stop = Stop()
    with stop.listening():
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGINT)
            os._exit(7 if stop.asked is None else 8)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_readers_that_the_signal_ended_do_not_lose_the_run(
    recipe: Recipe, whole: str, tmp_path: Path, zoo_with: Callable[..., Zoo]
) -> None:
    """A scheduler signals every process: the batch after the step may fail before the loop looks."""

    class Broken:
        def __init__(self, data: Any) -> None:
            self.data, self.given = data, 0

        def __len__(self) -> int:
            return len(self.data)

        def __iter__(self) -> Any:
            for batch in self.data:
                yield batch
                os.kill(os.getpid(), signal.SIGTERM)
                raise RuntimeError("a reader was killed by SIGTERM")

    class Reading(Distill):
        def phases(self, run: Any) -> Any:
            for phase in super().phases(run):
                yield replace(phase, data=Broken(phase.data))

    stop = Stop()
    with pytest.raises(Stopped), stop.listening():
        train(recipe, tmp_path / "run", zoo=zoo_with(Reading), stop=stop)
    train(recipe, tmp_path / "run", zoo=Zoo(), resume=True)
    assert student_hash(tmp_path / "run") == whole
