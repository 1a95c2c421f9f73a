"""A teacher that several processes need at once is trained once, also when the one that trains it is killed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kdzoo.api import Batch, Run
from kdzoo.engine.listeners import Listener, Moment
from kdzoo.jobs.folder import finished
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.owner import NotOwner
from kdzoo.recipe.writing import write
from kdzoo.zoo import Zoo

from .runs import small, student_hash, teachers

CHILD = Path(__file__).parents[1] / "engine" / "child.py"
FEW = {
    "data.train_per_class": 4,
    "data.test_per_class": 2,
    "roles.teacher.epochs": 3,
    "checkpoint_seconds": 0,
}


def start(recipe: Path, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(CHILD), "train", str(recipe), str(folder)])


@pytest.mark.slow
def test_one_trains_it_and_the_others_wait_or_take_over(tmp_path: Path, cache: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    write(small("kd", **FEW), recipe)
    killed = start(recipe, tmp_path / "killed")
    deadline = time.monotonic() + 100
    while not list((cache / "teachers").glob("*/checkpoint/*.ckpt")):
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGSTOP)
    owners = list((cache / "teachers").glob("*.owner"))
    others = [start(recipe, tmp_path / name) for name in ("one", "two")]
    time.sleep(1.0)
    killed.kill()
    assert [one.wait(200) for one in others] == [0, 0]
    killed.wait()
    assert len(owners) == 1
    assert not list((cache / "teachers").glob("*.owner"))
    (teacher,) = teachers(cache)
    rows = read_journal(teacher / "metrics.jsonl")
    assert [row["epoch"] for row in rows if row["event"] == "epoch"] == [1, 2, 3], "one run, gone on with"
    assert sum(row["event"] == "result" for row in rows) == 1
    assert student_hash(tmp_path / "one") == student_hash(tmp_path / "two")
    assert finished(tmp_path / "killed") is None


class Slept(Listener):
    """As if the machine had slept during a step, and another one had taken the run over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.left: dict[Path, bytes] = {}

    def step_began(self, run: Run, batch: Batch, moment: Moment) -> None:
        if moment.epoch != 2 or self.left:
            return
        owner = self.folder / ".owner"
        told = json.loads(owner.read_text())
        owner.unlink()
        owner.write_text(json.dumps({**told, "token": "another", "host": "node7", "machine": "another"}))
        self.left = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        time.sleep(1.0)


def test_who_was_replaced_in_training_touches_nothing_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDZOO_STALE_SECONDS", "0.6")
    slept = Slept(tmp_path / "run")
    few = {"data.train_per_class": 4, "data.test_per_class": 2, "checkpoint_seconds": 0, "epochs": 3}
    with pytest.raises(NotOwner, match=r"on node7, since .* has taken it over"):
        train(small("baseline", **few), slept.folder, zoo=Zoo(), listeners=[slept])
    assert slept.left
    now = {path: path.read_bytes() for path in slept.folder.rglob("*") if path.is_file()}
    assert now == slept.left
