"""A teacher that several processes need at once is trained once, also when the one that trains it is killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from kdzoo.jobs.folder import finished
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.writing import write

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
