"""Why runs are repeated although the suite's folder has finished ones of the same method and seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from kdzoo.bench.recorded import recorded
from kdzoo.bench.task import Task
from kdzoo.errors import KdzooError
from kdzoo.recipe.identity import named, read_identity


def why_again(waiting: Iterable[Task], planned: Iterable[Task]) -> Iterator[str]:
    """A line for each reason, with the run or the number of runs that it repeats.

    Args:
        waiting: the tasks to do.
        planned: every task of the plan, whose folders are not earlier versions of others.
    """
    claimed = {task.folder for task in planned}
    runs: dict[str, list[str]] = defaultdict(list)
    folders: dict[Path, list[Path]] = {}
    for task in waiting:
        stem, parent = f"{task.folder.name.rpartition('-')[0]}-", task.folder.parent
        if parent not in folders:
            folders[parent] = sorted(parent.iterdir()) if parent.is_dir() else []
        earlier = (
            task.identity.differences(before)
            for folder in folders[parent]
            if folder.name.startswith(stem)
            and folder not in claimed
            and (before := read_identity(folder)) is not None
            and _finished(folder)
        )
        nearest = min(earlier, key=len, default=())
        if nearest:
            runs[named(nearest)].append(task.job.name)
    for reason, names in runs.items():
        who = f"{names[0]} is" if len(names) == 1 else f"{len(names)} runs are"
        yield f"{who} done again: {reason}"


def _finished(folder: Path) -> bool:
    try:
        return recorded(folder).result is not None
    except KdzooError:  # a damaged run explains nothing
        return False
