"""Our side of the process that talks to wandb: whatever happens there, ours goes on and no wait is without end.

wandb runs in a process of its own, ``python -m kdzoo.observers.wandb_process``, that serves all runs of this one.
Rows go to it through a queue and a pipe, so that sending never waits. What it answers are JSON objects, one a line:
``{"level", "message"}`` for the logger ``kdzoo.observers.wandb``, and for a run, each after the one before:

===========  =======================================================
``answer``   meaning
===========  =======================================================
opened       the wandb run exists; ``where`` says where
finishing    all rows are logged, the last uploads begin
done         the wandb run has ended
lost         it cannot be logged any more; ``why`` is the reason
===========  =======================================================
"""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any

import psutil  # type: ignore[import-untyped]  # psutil has no types

from kdzoo.observers.wandb_run import FINISH_SECONDS, INIT_SECONDS, LOGIN_SECONDS

_log = logging.getLogger("kdzoo.observers.wandb")

_START_SECONDS = 60.0
"""How long the process may take to start and import wandb, which may lie on a slow disk, and wandb-core to start."""

MARGIN_SECONDS = 5.0
"""How much longer than wandb's own limits we wait."""

_EXIT_SECONDS = 5.0
"""How long the process may take to exit when all of its runs have ended."""


class Lost(Exception):
    """A run cannot be logged any more; the message says what happened to wandb.

    Attributes:
        again: whether it is worth another try: not where wandb did not even open the run in time.
    """

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.again = again


class TrackedRun:
    """A wandb run as seen from here; its first row is ``start``, its last ``result``, ``failed`` or ``stopped``."""

    def __init__(self) -> None:
        self.where = ""
        """The run's address, or the command that uploads it; known after :meth:`wait`."""
        self._process = _process()
        self._number, self._answers = self._process.enlist()
        self._deadline = time.monotonic() + _START_SECONDS  # for the first answer
        self._deadline += limit("WANDB_HTTP_TIMEOUT", LOGIN_SECONDS) + limit(
            "WANDB_INIT_TIMEOUT", INIT_SECONDS
        )

    def send(self, row: Mapping[str, Any]) -> None:
        """Send a row of the journal. Never waits."""
        self._process.send({**row, "run": self._number})

    def wait(self) -> None:
        """Wait until the run has ended, which its last row asks for, no longer than wandb's limits.

        Raises:
            Lost: it is not logged, or not all of it; the process is gone.
        """
        try:
            self._wait()
        finally:
            self._process.dismiss(self._number)

    def _wait(self) -> None:
        seconds, opened = max(self._deadline - time.monotonic(), 0.0), False
        while True:
            try:
                answer = self._answers.get(timeout=seconds)
            except Empty:
                self._process.kill()
                raise Lost("no answer in time, so its process was killed", again=opened) from None
            match answer["answer"]:
                case "done":
                    return
                case "lost":
                    self._process.kill()
                    raise Lost(answer["why"], again=True)
                case "opened":
                    opened, self.where = True, answer["where"]
            seconds = limit("WANDB_FINISH_TIMEOUT", FINISH_SECONDS) + MARGIN_SECONDS


def disabled() -> bool:
    """Whether nothing is to be logged."""
    return os.environ.get("WANDB_MODE") == "disabled"


def in_sweep() -> bool:
    """Whether a sweep's agent started this process: its one wandb run is that of the student."""
    return bool(os.environ.get("WANDB_SWEEP_ID"))


def limit(name: str, default: float) -> float:
    """The seconds that an environment variable allows; ``default`` where it holds no number of seconds."""
    try:
        seconds = float(os.environ.get(name, default))
    except ValueError:
        return default
    return min(seconds, threading.TIMEOUT_MAX / 2) if seconds >= 0 and not math.isnan(seconds) else default


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill those that still run; psutil takes no other process with the same number for one of them."""
    for one in processes:
        with suppress(psutil.Error):
            one.kill()


class _Process:
    """The process, its two pipes and the threads at our ends of them."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._popen = subprocess.Popen(
            # -P: a file json.py where the user works is not ours; the same paths as here are.
            [sys.executable, "-P", "-m", "kdzoo.observers.wandb_process"],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us: the process ends when we do
        )
        self._numbers = count()
        self._runs: dict[int, SimpleQueue[dict[str, Any]]] = {}
        self._rows: SimpleQueue[bytes | None] = SimpleQueue()
        self._family: set[psutil.Process] = set()
        self.ended = False
        for work in (self._write, self._read):
            threading.Thread(target=work, daemon=True).start()
        atexit.register(self._close)

    def enlist(self) -> tuple[int, SimpleQueue[dict[str, Any]]]:
        """A number for a new run, and where the answers about it come."""
        number, answers = next(self._numbers), SimpleQueue[dict[str, Any]]()
        self._runs[number] = answers
        return number, answers

    def dismiss(self, number: int) -> None:
        """Forget a run that has ended."""
        self._runs.pop(number, None)

    def send(self, row: Mapping[str, Any]) -> None:
        """Queue a row, with its run's number."""
        if not self.ended:
            self._rows.put(json.dumps(row).encode() + b"\n")

    def kill(self) -> None:
        """End the process and those that it started: wandb-core has a session of its own and may be stopped."""
        self._know_family()
        self._popen.kill()
        kill_all(list(self._family))
        self._popen.wait()
        self._rows.put(None)
        self.ended = True
        atexit.unregister(self._close)

    def retire(self) -> None:
        """Let the process exit, unless it has a run to end."""
        if not self._runs:
            self._rows.put(None)
            self.ended = True

    def _close(self) -> None:
        if os.getpid() != self._owner:  # a fork of ours
            return
        self._rows.put(None)
        try:
            self._popen.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def _know_family(self) -> None:
        with suppress(psutil.Error):
            self._family |= set(psutil.Process(self._popen.pid).children(recursive=True))

    def _write(self) -> None:
        assert self._popen.stdin is not None
        with suppress(OSError), self._popen.stdin as pipe:
            while (row := self._rows.get()) is not None:
                pipe.write(row)
                pipe.flush()
            pipe.write(b"\n")  # the end: closing is not enough where a fork of ours has the pipe as well

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as pipe:
            for line in pipe:
                answer = json.loads(line)
                if "message" in answer:
                    _log.log(answer["level"], "%s", answer["message"])
                    continue
                if answer["answer"] == "opened":
                    self._know_family()
                if (answers := self._runs.get(answer["run"])) is not None:
                    answers.put(answer)
        self.ended = True
        atexit.unregister(self._close)
        why = {"answer": "lost", "why": f"its process ended with code {self._popen.wait()}"}
        for answers in list(self._runs.values()):
            answers.put(why)


_processes: dict[tuple[Any, ...], _Process] = {}
"""Our process id and wandb's settings -> the process that was started for them."""


def _process() -> _Process:
    key = (os.getpid(), *sorted(item for item in os.environ.items() if item[0].startswith("WANDB_")))
    for other, process in list(_processes.items()):
        if other != key and other[0] == key[0]:  # other settings, such as an agent's for each run of a sweep
            process.retire()
        if process.ended:
            del _processes[other]
    if key not in _processes:
        _processes[key] = _Process()
    return _processes[key]


def _environment() -> dict[str, str]:
    paths = [path or os.getcwd() for path in sys.path]
    kept = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}  # a core of its own
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}
