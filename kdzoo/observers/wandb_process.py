"""The process that talks to wandb; :mod:`kdzoo.observers.wandb_client` starts it and says what it reads and answers.

An empty line ends its input. Where the input ends without one, the process that it serves was killed. In both cases
it ends the runs that are open as failed, and exits.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import psutil  # type: ignore[import-untyped]  # psutil has no types

from kdzoo.observers.wandb_client import MARGIN_SECONDS, kill_all, limit
from kdzoo.observers.wandb_logged import LoggedRun, log_table
from kdzoo.observers.wandb_run import FINISH_SECONDS, close_run, where_is
from kdzoo.stopping import SIGNALS

Answer = Callable[[Mapping[str, Any]], None]


class Server:
    """Logs rows of any number of runs.

    Args:
        answer: sends an answer.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._runs: dict[int, LoggedRun] = {}

    def take(self, row: Mapping[str, Any]) -> None:
        """Log a row; what goes wrong is an answer."""
        number = row["run"]
        try:
            self._log(number, row)
        except Exception as error:
            self._runs.pop(number, None)
            self._tell(number, "lost", why=f"{type(error).__name__}: {error}")

    def end(self) -> None:
        """End the runs that are open as failed."""
        for run in self._runs.values():
            with suppress(Exception):  # nobody is there who could be told
                run.finish(1)

    def _log(self, number: int, row: Mapping[str, Any]) -> None:
        match row["event"]:
            case "start":
                self._runs[number] = LoggedRun(row)
                self._tell(number, "opened", where=where_is(self._runs[number].run))
            case "table":
                run = log_table(row)
                self._tell(number, "opened", where=where_is(run))
                self._tell(number, "finishing")
                close_run(run, 0)
                self._tell(number, "done")
            case event if number in self._runs:
                self._runs[number].log(row)
                if event in ("result", "failed", "stopped"):
                    self._tell(number, "finishing")
                    self._runs.pop(number).finish(0 if event == "result" else 1)
                    self._tell(number, "done")

    def _tell(self, number: int, answer: str, **more: str) -> None:
        self._answer({"run": number, "answer": answer, **more})


class _Forward(logging.Handler):
    """Log messages, as answers."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    def emit(self, record: logging.LogRecord) -> None:
        self._answer({"level": record.levelno, "message": record.getMessage()})


def main() -> None:
    """Serve until the input ends, or an empty line."""
    for ignored in SIGNALS:
        # Sent to all processes of a job, they are for the one that we serve. SIG_IGN would be inherited.
        signal.signal(ignored, lambda *_: None)
    rows, answers = os.fdopen(os.dup(0), "rb"), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):  # wandb-core inherits these, and the pipes must end with us
        os.dup2(nothing, number)

    def answer(content: Mapping[str, Any]) -> None:
        with suppress(OSError):  # nobody is there
            os.write(answers, json.dumps(content).encode() + b"\n")

    log = logging.getLogger("kdzoo.observers.wandb")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(_Forward(answer))
    server = Server(answer)
    while (line := rows.readline()).strip():
        server.take(json.loads(line))
    _give_up_later()
    server.end()


def _give_up_later() -> None:
    """End this process and those that it started if wandb has not let it exit in time."""

    def give_up() -> None:
        kill_all(psutil.Process().children(recursive=True))
        os._exit(1)

    timer = threading.Timer(limit("WANDB_FINISH_TIMEOUT", FINISH_SECONDS) + MARGIN_SECONDS, give_up)
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main()
