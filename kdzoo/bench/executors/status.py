"""How far the jobs of a suite are: from their records and from the scheduler's queue."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from kdzoo.bench.executors.plan_file import Planned, listed
from kdzoo.bench.executors.queue import JobQueue, QueuedJob, of_suite, read_batches
from kdzoo.bench.executors.record import LOG_FILE, Attempt, read_record
from kdzoo.bench.recorded import recorded
from kdzoo.bench.task import ERROR_FILE
from kdzoo.errors import KdzooError

State = Literal["done", "failed", "running", "waiting", "missing"]

STATES: tuple[State, ...] = ("done", "failed", "running", "waiting", "missing")
"""``waiting`` for the scheduler, or for others; ``missing``: neither done nor in the queue."""


@dataclass(frozen=True)
class TaskStatus:
    """How far a task is.

    Attributes:
        key, name: the task's.
        state: one of :data:`STATES`.
        job: the scheduler's name of the job; None without one.
        node: where it runs, or ran last.
        since: when its last attempt began, ISO 8601.
        until: when its job is ended at the latest, as the scheduler writes it.
        attempts: how many jobs have tried; 0 while it waits.
        epoch, epochs: how far its run is, while it runs, and its length.
        expected: when it will have ended at this pace, ISO 8601; None before an epoch has ended.
        log: what its process prints.
        error: why it failed.
        reason: why it waits.
    """

    key: str
    name: str
    state: State
    job: str | None = None
    node: str | None = None
    since: str | None = None
    until: str | None = None
    attempts: int = 0
    epoch: int | None = None
    epochs: int = 0
    expected: str | None = None
    log: str | None = None
    error: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class SuiteStatus:
    """How far a suite is.

    Attributes:
        tasks: every task of the plan.
        coordinators: ids of the jobs that submit what follows.
    """

    tasks: tuple[TaskStatus, ...]
    coordinators: tuple[str, ...] = ()

    @property
    def counts(self) -> Mapping[State, int]:
        """How many tasks are in each state."""
        found = Counter(one.state for one in self.tasks)
        return {state: found[state] for state in STATES}

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "counts": dict(self.counts),
            "coordinators": list(self.coordinators),
            "tasks": [asdict(one) for one in self.tasks],
        }


def status(folder: Path, queue: JobQueue | None) -> SuiteStatus:
    """How far the jobs of the suite in ``folder`` are.

    Args:
        folder: of the suite.
        queue: the scheduler; None where it cannot be asked, and attempts that have not ended count as running.

    Raises:
        KdzooError: no jobs were planned there, a file is damaged, or the scheduler does not answer.
    """
    queued, coordinators = ({}, []) if queue is None else of_suite(queue, read_batches(folder))
    asked = queue is not None and not queue.waits
    tasks = [_of(folder, one, queued.get(one.key), asked=asked) for one in listed(folder)]
    return SuiteStatus(tuple(tasks), tuple(job.id for job in coordinators))


def _of(folder: Path, task: Planned, job: QueuedJob | None, *, asked: bool) -> TaskStatus:
    about: dict[str, Any] = {"key": task.key, "name": task.name, "epochs": task.epochs}
    if job is not None and not job.running:
        return TaskStatus(**about, state="waiting", job=job.id, reason=job.reason)
    place = folder / task.key
    record = read_record(place)
    last = record.attempts[-1] if record.attempts else None
    if last is None and job is not None:
        return TaskStatus(**about, state="running", job=job.id, node=job.node)
    if last is None:
        return TaskStatus(**about, state="done" if _has_ended(task.run) else "missing")
    about |= {
        "attempts": len(record.attempts),
        "job": last.job,
        "node": last.node,
        "since": _iso(last.began),
        "log": str(place / LOG_FILE),
    }
    if record.outcome == "failed":
        about["log"] = str(place / ERROR_FILE)
    if record.outcome is not None:
        return TaskStatus(**about, state=record.outcome, error=record.error)
    if job is None and (asked or last.how is not None):
        return TaskStatus(**about, state="missing")
    until = job.until if job is not None else None
    return TaskStatus(**about, state="running", until=until, **_pace(task, last))


def _has_ended(run: Path) -> bool:
    """Whether the run has a result, as of a session without jobs."""
    try:
        return recorded(run).result is not None
    except KdzooError:
        return False


def _pace(task: Planned, last: Attempt) -> dict[str, Any]:
    """The run's epoch, and when it will have ended if the others take as long as those of this attempt."""
    try:
        run = recorded(task.run)
    except KdzooError:
        return {}
    seconds = [one for row in run.epochs if (one := row.figures.get("seconds")) is not None]
    if not seconds:
        return {"epoch": len(run.epochs)}
    left = max(task.epochs - len(run.epochs), 0) * sum(seconds) / len(seconds)
    return {"epoch": len(run.epochs), "expected": _iso(max(time.time(), last.began) + left)}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
