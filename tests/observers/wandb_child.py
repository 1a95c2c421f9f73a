"""A process that plays a run to its journal and the wandb observer, for tests that need one to kill, time, isolate.

Its argument is JSON: ``folder``; ``epochs``, a list; ``resumed``; ``teacher``, a folder or null; ``leaderboard``,
whether to log one too; and ``end``: ``ended``, ``failed``, or what happens after the epochs:

- ``asked``: wait for a line on stdin, then end; a line on stdout says that it waits;
- ``killed``: this process gets SIGKILL, once wandb has opened the run;
  a line on stdout has the process ids of its children;
- ``tracker SIGNAL``, ``core SIGNAL``: the process that talks to wandb, or wandb-core, gets a signal; then end;
  a line on stdout has both process ids.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil
from PIL import Image

from kdzoo.api import EpochEnded, Event, Job, Pictured, RunEnded, RunFailed, RunStarted
from kdzoo.observers.journal import Journal
from kdzoo.observers.wandb import Wandb
from kdzoo.observers.wandb_logged import RUN_ID
from kdzoo.observers.wandb_table import log_leaderboard

JOB = Job("kd big>small 0", kind="student", suite="quick", tags=("kd", "digits", "big>small"))
RECIPE = {
    "method": "kd",
    "roles": {"student": {"model": "small"}, "teacher": {"model": "big"}},
    "data": {"data_dir": "/home/me/photographs"},
    "epochs": 3,
}
PROVENANCE = {"data": {"hash": "d1"}, "teachers": {"teacher": {"hash": "e2"}}, "student_hash": "f3"}
COLUMNS = ["method", "accuracy", "interval"]
ROWS = [["kd", 91.5, 0.4], ["baseline", 90.0, None]]


def play(
    folder: str, epochs: list[int], end: str, resumed: bool, teacher: str | None, leaderboard: bool
) -> None:
    place = Path(folder)
    observer, journal = Wandb(), Journal(place / "metrics.jsonl")

    def tell(event: Event) -> None:
        journal.observe(event)
        observer.observe(event)

    tell(RunStarted(place, JOB, RECIPE, resumed))
    for epoch in epochs:
        tell(EpochEnded("distill", epoch, {"train/task": 1 / epoch, "val/accuracy": 80.0 + epoch}))
    if end == "killed":
        wait_for_wandb(place)
        print(*(one.pid for one in psutil.Process().children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if " " in end:
        whom, number = end.split()
        tracker, core = family(place)
        print(tracker.pid, core.pid, flush=True)
        (tracker if whom == "tracker" else core).send_signal(signal.Signals[number])
    if end == "asked":
        wait_for_wandb(place)
        print("waiting", flush=True)
        sys.stdin.readline()
    if end == "failed":
        tell(RunFailed("NotFinite: the loss is not finite"))
    else:
        Image.new("RGB", (4, 4)).save(place / "curve.png")
        tell(Pictured("curve", place / "curve.png", epochs[-1]))
        student = place / "student"
        student.mkdir()
        (student / "config.json").write_text("{}")
        (student / "model.safetensors").write_bytes(b"weights of the student")
        (place / "provenance.json").write_text(json.dumps(PROVENANCE))
        tell(RunEnded(place, {"test/last": 83.25, "seconds": 7.0, "teacher_path": teacher}))
    observer.close()
    if leaderboard:
        before = psutil.Process().children()
        log_leaderboard("quick", COLUMNS, ROWS, place)
        assert psutil.Process().children() == before, "one process serves all"


def wait_for_wandb(place: Path) -> None:
    """Wait until wandb has opened the run."""
    while not (place / RUN_ID).exists():
        time.sleep(0.1)


def family(place: Path) -> tuple[psutil.Process, psutil.Process]:
    """The process that talks to wandb, and wandb-core, once the run is open."""
    wait_for_wandb(place)
    (tracker,) = psutil.Process().children()
    (core,) = tracker.children()
    return tracker, core


if __name__ == "__main__":
    play(**json.loads(sys.argv[1]))
