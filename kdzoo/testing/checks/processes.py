"""Do two processes end with equal weights?"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from kdzoo.recipe.writing import write
from kdzoo.testing.check import Wrong, check
from kdzoo.testing.subject import Subject

_NAME_OF_THE_TEST = "PYTEST_CURRENT_TEST"
"""An environment variable that changes with each test; results do not depend on it."""

_PATIENCE = 300.0
"""Seconds after which two processes that wait for each other are stopped."""


@check(
    "processes",
    "knowledge",
    "scheme",
    "algorithm",
    looks_for="failure in two processes, or two that end with different weights",
    mend="Change weights by run.update alone, and let buffers follow nothing that differs between processes.",
)
def fails_in_two_processes(subject: Subject) -> Iterator[Wrong]:
    """The small recipe in two processes on a CPU (gloo), each of which gets half of every batch."""
    with tempfile.TemporaryDirectory(prefix="kdzoo-check-") as place:
        folder = Path(place)
        write(subject.recipe(), folder / "recipe.yaml")
        late = _PAIR.run(folder)
        answers = [_answer(folder, rank) for rank in (0, 1)]
    failed = [(answer["time"], rank) for rank, answer in enumerate(answers) if "error" in answer]
    if failed:
        _PAIR.stop()
        rank = min(failed)[1]  # the other one failed because of this one
        yield answers[rank]["error"], f"process {rank}, {answers[rank]['where']}"
        return
    if late or not all(answers):
        yield "the processes wait for each other", "process 0 and process 1"
        return
    first, second = (answer["weights"] for answer in answers)
    for role in sorted(first.keys() | second.keys()):
        if first.get(role) != second.get(role):
            yield "two processes end with different weights or buffers", f"role {role}"


class _Pair:
    """Two processes that are started on first use and reused until an error."""

    def __init__(self) -> None:
        self.children: list[subprocess.Popen[str]] = []
        self.environment: dict[str, str] = {}

    def run(self, folder: Path) -> bool:
        """Train the recipe in the folder with both; returns whether they took too long."""
        if self.environment != _environment():
            self.stop()
        if not self.children:
            self.start()
        line = f"{_free_port()} {folder}\n"
        for child in self.children:
            assert child.stdin is not None
            child.stdin.write(line)
            child.stdin.flush()
        done = [folder / f"rank{rank}.json" for rank in range(len(self.children))]
        until = time.monotonic() + _PATIENCE
        late = False
        while not all(file.exists() for file in done):
            late = time.monotonic() > until
            if late or any(child.poll() is not None for child in self.children):
                self.stop()  # if one has failed, the other waits forever
                return late
            time.sleep(0.02)
        return False

    def start(self) -> None:
        """Start both."""
        self.environment = _environment()
        self.children = [
            subprocess.Popen(
                [sys.executable, "-m", "kdzoo.testing.rank", str(rank)],
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for rank in (0, 1)
        ]

    def stop(self) -> None:
        """End both."""
        for child in self.children:
            child.kill()
            child.wait()
            if child.stdin is not None:
                with suppress(OSError):
                    child.stdin.close()
        self.children = []


_PAIR = _Pair()
atexit.register(_PAIR.stop)


def _environment() -> dict[str, str]:
    """An environment in which plugins on this process's path (a checkout, a test's folder) are found too."""
    path = os.pathsep.join(one or os.getcwd() for one in sys.path)
    inherited = {key: value for key, value in os.environ.items() if key != _NAME_OF_THE_TEST}
    return {**inherited, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _answer(folder: Path, rank: int) -> dict[str, Any]:
    """The result of a process; empty if it was stopped while it waited for the other."""
    file = folder / f"rank{rank}.json"
    answer: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return answer
