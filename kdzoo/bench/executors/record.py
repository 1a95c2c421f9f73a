"""``job.json`` in a run's folder: the attempts at a task, and how it ended."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from kdzoo.bench.recorded import Amount, read_json
from kdzoo.bench.task import Task
from kdzoo.errors import KdzooError
from kdzoo.files import write_json
from kdzoo.jobs.scheduled import scheduled_job
from kdzoo.jobs.teacher_folder import readable
from kdzoo.places import cache_folder
from kdzoo.recipe.section import Section

RECORD_FILE = "job.json"

LOG_FILE = "job.log"
"""Beside it: what the run's process printed."""

PATIENCE = 3
"""Attempts without progress after which a task has failed."""

_SEAL = 64
"""Bytes at the end of a checkpoint that are its own hash."""


class Attempt(Section):
    """One job's try.

    Attributes:
        job: the scheduler's name of the job; None outside of one.
        node: where.
        process: its id there.
        began, ended: seconds since 1970; no end while it runs, or if it was killed.
        position: a hash of the checkpoints that it began from.
        how: ``limit`` at the job's time limit, ``stopped`` by another wish, ``done``, ``failed``; None as ``ended``.
    """

    job: str | None
    node: str
    process: int
    began: Amount
    position: str
    ended: Amount | None = None
    how: Literal["limit", "stopped", "done", "failed"] | None = None


class Record(Section):
    """All attempts at a task. ``outcome`` is None until it is done or has failed, with the ``error``."""

    attempts: tuple[Attempt, ...] = ()
    outcome: Literal["done", "failed"] | None = None
    error: str | None = None

    def begun(self, task: Task) -> Record:
        """With an attempt that begins now."""
        attempt = Attempt(
            job=scheduled_job(),
            node=socket.gethostname(),
            process=os.getpid(),
            began=time.time(),
            position=position(task),
        )
        return Record(attempts=(*self.attempts, attempt))

    def ended(self, how: Literal["limit", "stopped", "done", "failed"], error: str | None = None) -> Record:
        """With the end of the last attempt, if there is one."""
        end = {"ended": time.time(), "how": how}
        attempts = (*self.attempts[:-1], *(one.model_copy(update=end) for one in self.attempts[-1:]))
        outcome = how if how == "done" or how == "failed" else None
        return Record(attempts=attempts, outcome=outcome, error=error)

    def stuck(self, task: Task) -> str | None:
        """Why it makes no sense to try again; None if it does.

        Attempts that somebody stopped are no sign of it.
        """
        now = position(task)
        vain = [one for one in self.attempts if one.position == now and one.how in (None, "limit")]
        if len(vain) < PATIENCE:
            return None
        if all(one.how == "limit" for one in vain):
            return (
                f"met the time limit of its job {len(vain)} times without progress; its jobs need more time"
            )
        nodes = ", ".join(dict.fromkeys(one.node for one in vain))
        return f"its job ended {len(vain)} times without progress, killed or out of memory, on {nodes}: {LOG_FILE}"

    def lost(self, submissions: int) -> str | None:
        """Why its jobs, submitted so often, are not submitted again although none has begun; None if they may be."""
        if self.attempts or submissions < PATIENCE:
            return None
        return f"its job ended {submissions} times before it began; see the logs in cluster/jobs"


_RECORD = TypeAdapter(Record)


def read_record(folder: Path) -> Record:
    """The record of the run in ``folder``; an empty one if there is none.

    Raises:
        KdzooError: it is damaged.
    """
    path = folder / RECORD_FILE
    return read_json(path, _RECORD) if path.exists() else Record()


def write_record(folder: Path, record: Record) -> None:
    """Write it, whole or not at all.

    Raises:
        KdzooError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KdzooError(f"{folder}: cannot be written: {error.strerror or error}") from None
    write_json(folder / RECORD_FILE, record.model_dump(mode="json"))


def forget(folder: Path) -> None:
    """Let the run in ``folder`` be tried as if it never had been."""
    (folder / RECORD_FILE).unlink(missing_ok=True)


def position(task: Task) -> str:
    """A hash of the run's checkpoint and of those of teachers that it may train; it changes with any progress."""
    return hashlib.sha256(b"".join(map(_seal, _checkpoints(task)))).hexdigest()[:16]


def _checkpoints(task: Task) -> Iterator[Path]:
    yield task.folder / "checkpoint" / "last.ckpt"
    teachers = cache_folder() / "teachers"
    for model in sorted({readable(role.model) for role in task.recipe.roles.values()}):
        yield from sorted(teachers.glob(f"{model}-*/checkpoint/last.ckpt"))


def _seal(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(-_SEAL, os.SEEK_END)
            return file.read()
    except OSError:
        return b"-"
