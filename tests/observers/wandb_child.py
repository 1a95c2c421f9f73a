"""A process that plays a run to the wandb observer, for tests that need one of its own: to kill, to time, to isolate.

Its argument is JSON: ``folder``; ``epochs``, a list; ``resumed``; ``teacher``, a folder or null; ``leaderboard``,
whether to log one too; and ``end``: ``ended``, ``failed``, ``killed`` (by SIGKILL, once wandb's flush interval has
passed) or ``asked`` (like ended, after a line on stdin; a line on stdout says that it waits).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from PIL import Image

from kdzoo.api import EpochEnded, Job, Pictured, RunEnded, RunFailed, RunStarted
from kdzoo.observers.wandb import Wandb
from kdzoo.observers.wandb_run import _FLUSH_SECONDS
from kdzoo.observers.wandb_table import log_leaderboard

JOB = Job("kd big>small 0", kind="student", suite="quick", tags=("kd", "digits", "big>small"))
RECIPE = {"method": "kd", "roles": {"student": {"model": "small"}, "teacher": {"model": "big"}}, "epochs": 3}
COLUMNS = ["method", "accuracy", "interval"]
ROWS = [["kd", 91.5, 0.4], ["baseline", 90.0, None]]


def play(
    folder: str, epochs: list[int], end: str, resumed: bool, teacher: str | None, leaderboard: bool
) -> None:
    place = Path(folder)
    observer = Wandb()
    observer.observe(RunStarted(place, JOB, RECIPE, resumed))
    for epoch in epochs:
        observer.observe(
            EpochEnded("distill", epoch, {"train/task": 1 / epoch, "val/accuracy": 80.0 + epoch})
        )
    if end == "killed":
        time.sleep(4 * _FLUSH_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "asked":
        print("waiting", flush=True)
        sys.stdin.readline()
    if end == "failed":
        observer.observe(RunFailed("NotFinite: the loss is not finite"))
    else:
        Image.new("RGB", (4, 4)).save(place / "curve.png")
        observer.observe(Pictured("curve", place / "curve.png", epochs[-1]))
        student = place / "student"
        student.mkdir()
        (student / "config.json").write_text("{}")
        (student / "model.safetensors").write_bytes(b"weights of the student")
        observer.observe(RunEnded(place, {"test/last": 83.25, "seconds": 7.0, "teacher_path": teacher}))
    observer.close()
    if leaderboard:
        log_leaderboard("quick", COLUMNS, ROWS, place)


if __name__ == "__main__":
    play(**json.loads(sys.argv[1]))
