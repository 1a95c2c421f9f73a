"""The order in which tasks are submitted: arrays of those that wait for the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kdzoo.bench.task import Task


@dataclass(frozen=True)
class Array:
    """Tasks that are submitted together.

    Attributes:
        packs: the tasks of each job.
        needs: the keys of the tasks that must have ended before one of them begins.
    """

    packs: tuple[tuple[Task, ...], ...]
    needs: frozenset[str]


def arrays(
    tasks: Sequence[Task],
    queued: Iterable[Task] = (),
    *,
    by_level: bool = False,
    per_job: int = 1,
    most: int = 1000,
    recorded: Mapping[str, bool] | None = None,
) -> list[Array]:
    """Divide ``tasks`` into arrays, each after those that it needs.

    Of the tasks that share a teacher's answers one is first and records them; the others wait for it, as in
    :class:`~kdzoo.bench.schedule.Schedule`.

    Args:
        tasks: what is to be submitted, teachers among it.
        queued: what has been submitted and has not ended.
        by_level: one array for each level of the order, which waits for all of the level before, so that a limit of
            an array is one of the suite; otherwise tasks wait for nothing but what they need.
        per_job: tasks of one job.
        most: jobs of one array.
        recorded: what finished tasks share, and whether with embeddings.
    """
    needs = _needs(tasks, list(queued), recorded or {})
    levels: dict[str, int] = {}
    for task in tasks:
        _level(task.key, needs, levels)
    groups: dict[tuple[int, frozenset[str]], list[Task]] = {}
    for task in tasks:
        level = levels[task.key]
        own = frozenset() if by_level else needs[task.key]
        groups.setdefault((level, own), []).append(task)
    found = []
    for (_, own), group in sorted(groups.items(), key=lambda one: one[0][0]):
        wanted = own.union(*(needs[task.key] for task in group))
        packs = [tuple(group[begin : begin + per_job]) for begin in range(0, len(group), per_job)]
        found += [Array(tuple(packs[begin : begin + most]), wanted) for begin in range(0, len(packs), most)]
    return found


def _needs(
    tasks: Sequence[Task], queued: Sequence[Task], recorded: Mapping[str, bool]
) -> dict[str, frozenset[str]]:
    under_way = {task.key for task in queued}
    unfinished = under_way | {task.key for task in tasks}
    recorders: dict[str, Task] = {}
    for task in (*queued, *tasks):  # one that is under way comes first, and then one that reads embeddings
        before = recorders.get(task.shares)
        better = before is None or (before.key not in under_way and task.embeddings > before.embeddings)
        if task.shares and better:
            recorders[task.shares] = task
    found = {}
    for task in tasks:
        needs = task.after & unfinished
        recorder = recorders.get(task.shares, task)
        new = bool(task.shares) and recorded.get(task.shares) not in (True, task.embeddings)
        if new and recorder.key != task.key and recorder.embeddings >= task.embeddings:
            needs |= {recorder.key}
        found[task.key] = needs
    return found


def _level(key: str, needs: Mapping[str, frozenset[str]], levels: dict[str, int]) -> int:
    if key not in levels:
        levels[key] = max((1 + _level(need, needs, levels) for need in needs.get(key, ())), default=0)
    return levels[key]
