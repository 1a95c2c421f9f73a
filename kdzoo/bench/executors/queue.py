"""What a suite asks of a scheduler, and the files that say which job does what."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter

from kdzoo.bench.recorded import Amount, read_json
from kdzoo.errors import KdzooError
from kdzoo.files import write_json
from kdzoo.recipe.section import Section

PLACE = "cluster"
"""The folder in a suite's folder for what its jobs need beside the runs."""


@dataclass(frozen=True)
class QueuedJob:
    """A job that has not ended.

    Attributes:
        id: the scheduler's.
        batch: the batch that it belongs to.
        index: which job of the batch.
        running: whether it has begun.
        node: where; empty before.
        since: when it began, as the scheduler writes it; empty before.
        until: when it is ended at the latest; empty if that is not known.
        reason: why it waits; empty while it runs.
    """

    id: str
    batch: str
    index: int
    running: bool
    node: str = ""
    since: str = ""
    until: str = ""
    reason: str = ""


class JobQueue(Protocol):
    """A scheduler, as far as a suite needs it."""

    waits: bool
    """Whether :meth:`submit` returns when the jobs have ended; nothing is queued then."""

    def submit(
        self, batch: str, jobs: Sequence[Sequence[str]], after: Sequence[str], parallel: int | None
    ) -> list[str]:
        """Submit one array.

        Args:
            batch: the name of the array, unique.
            jobs: the keys of the tasks of each job.
            after: ids of the jobs that must have ended before, in whatever way.
            parallel: jobs of the array at a time at most.

        Returns:
            The id of each job.

        Raises:
            KdzooError: the scheduler refuses; names its reason.
        """

    def submit_command(self, batch: str, command: Sequence[str], after: Sequence[str]) -> str:
        """Submit a small job that runs a command; its id. Errors as in :meth:`submit`."""

    def jobs(self) -> list[QueuedJob]:
        """The user's jobs that wait or run, of whatever suite.

        Raises:
            KdzooError: the scheduler does not answer.
        """

    def cancel(self, ids: Sequence[str]) -> None:
        """End these jobs.

        Raises:
            KdzooError: the scheduler does not answer.
        """


class Batch(Section):
    """What was submitted together: the keys of each job's tasks; without any, the job that submits what follows."""

    jobs: tuple[tuple[str, ...], ...]
    made: Amount


_BATCH = TypeAdapter(Batch)


def write_batch(folder: Path, jobs: Sequence[Sequence[str]]) -> str:
    """Note what is about to be submitted, so that the scheduler's queue alone says what is under way; its name."""
    name = uuid.uuid4().hex[:12]
    place = folder / PLACE / "batches"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KdzooError(f"{place}: cannot be written: {error.strerror or error}") from None
    batch = Batch(jobs=tuple(map(tuple, jobs)), made=time.time())
    write_json(place / f"{name}.json", batch.model_dump(mode="json"))
    return name


def read_batches(folder: Path) -> dict[str, Batch]:
    """Every batch of the suite in ``folder`` by its name.

    Raises:
        KdzooError: one is damaged.
    """
    return {
        path.stem: read_json(path, _BATCH) for path in sorted((folder / PLACE / "batches").glob("*.json"))
    }


def of_suite(queue: JobQueue, batches: Mapping[str, Batch]) -> tuple[dict[str, QueuedJob], list[QueuedJob]]:
    """The suite's jobs in the queue: by the keys of their tasks, and those that submit others.

    Raises:
        KdzooError: the scheduler does not answer.
    """
    tasks: dict[str, QueuedJob] = {}
    coordinators = []
    for job in queue.jobs():
        batch = batches.get(job.batch)
        if batch is None:
            continue
        if not batch.jobs:
            coordinators.append(job)
        elif job.index < len(batch.jobs):
            tasks |= dict.fromkeys(batch.jobs[job.index], job)
    return tasks, coordinators
