"""A suite as commands, for schedulers that kdzoo does not know."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdzoo.bench.executors.arrays import arrays
from kdzoo.bench.task import Task


@dataclass(frozen=True)
class Command:
    """One job.

    Attributes:
        key: of its task.
        name: what it is for.
        command: does the task, goes on with it, or finds it done.
        after: keys of the tasks that must be done before.
    """

    key: str
    name: str
    command: str
    after: tuple[str, ...]


def commands(folder: Path, tasks: Sequence[Task]) -> Iterator[Command]:
    """One command for each of the unfinished ``tasks``, each after those that it needs."""
    for array in arrays(tasks):
        for (task,) in array.packs:
            words = ["kdzoo", "bench", "run-one", task.key, "--output", str(folder)]
            yield Command(task.key, task.job.name, shlex.join(words), tuple(sorted(array.needs)))


def script(found: Sequence[Command], last: str) -> Iterator[str]:
    """The commands as lines of a shell script that runs as it is, and at the end the one for the leaderboard."""
    for one in found:
        after = f"  # after: {' '.join(one.after)}" if one.after else ""
        yield f"{one.command}{after}"
    yield f"{last}  # after: all; writes the leaderboard, and does what is known only then"
