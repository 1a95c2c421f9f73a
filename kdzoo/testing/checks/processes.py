"""Do two processes agree?"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kdzoo.recipe.resolve import write
from kdzoo.testing.check import Wrong, check
from kdzoo.testing.subject import Subject

_PATIENCE = 300.0
"""Seconds after which two processes that wait for each other are given up."""


@check(
    "processes",
    "knowledge",
    "scheme",
    "algorithm",
    looks_for="failure in two processes, or two that end with different weights",
    mend="Change weights by run.update alone, and let buffers follow nothing that differs between processes.",
)
def fails_in_two_processes(subject: Subject) -> Iterator[Wrong]:
    """The small recipe in two processes of a CPU (gloo), each of which sees half of every batch."""
    with tempfile.TemporaryDirectory(prefix="kdzoo-check-") as place:
        folder = Path(place)
        write(subject.recipe(), folder / "recipe.yaml")
        late = _run(folder)
        answers = [_answer(folder, rank) for rank in (0, 1)]
    failed = [(answer["time"], rank) for rank, answer in enumerate(answers) if "error" in answer]
    if failed:
        rank = min(failed)[1]  # the other one failed because this one had
        yield answers[rank]["error"], f"process {rank}, {answers[rank]['where']}"
        return
    if late or not all(answers):
        yield "the processes wait for each other", "process 0 and process 1"
        return
    first, second = (answer["weights"] for answer in answers)
    for role in sorted(first.keys() | second.keys()):
        if first.get(role) != second.get(role):
            yield "two processes end with different weights or buffers", f"role {role}"


def _run(folder: Path) -> bool:
    """Start both processes and wait for them; whether they took too long."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Plugins that this process finds on its own path, a checkout or a test's folder, are found there too.
    path = os.pathsep.join(one or os.getcwd() for one in sys.path)
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "kdzoo.testing.rank"]
    children = [
        subprocess.Popen(
            [*command, str(rank), str(port), str(folder)],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for rank in (0, 1)
    ]
    try:
        return _wait(children)
    finally:
        for child in children:
            child.kill()
            child.wait()


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> bool:
    """Until both have ended, or one has failed, for which the other would wait for ever."""
    until = time.monotonic() + _PATIENCE
    while any(child.poll() is None for child in children):
        if any(child.poll() for child in children):
            return False
        if time.monotonic() > until:
            return True
        time.sleep(0.05)
    return False


def _answer(folder: Path, rank: int) -> dict[str, Any]:
    """What a process wrote; nothing if it was ended while it waited for the other."""
    file = folder / f"rank{rank}.json"
    answer: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return answer
