"""Running a job, for a user, for a student's run that needs a teacher, or for a suite."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kdzoo.engine.components import components_of
from kdzoo.engine.listeners import Listener
from kdzoo.engine.sharded import told_of_copies
from kdzoo.errors import Damaged, KdzooError, NotFinite
from kdzoo.jobs.batch_size import as_before
from kdzoo.jobs.folder import RunFolder, damage, finished
from kdzoo.jobs.identity import identity_of
from kdzoo.jobs.memory import told_of_memory
from kdzoo.jobs.plan import Planned
from kdzoo.jobs.resources import Resources
from kdzoo.jobs.session import Session
from kdzoo.jobs.teachers import alone, is_trained
from kdzoo.recipe.identity import Differs, read_identity


def conduct(
    planned: Planned,
    resources: Resources,
    *,
    resume: bool,
    listeners: Sequence[Listener] = (),
    notes: Sequence[str] = (),
) -> Mapping[str, Any]:
    """Train the teachers that are missing in the cache, then run this job; its result.

    Args:
        planned: the job.
        resources: the shared resources.
        resume: continue from the folder's checkpoint if it has one; a finished job returns its result at once, unless
            its student is damaged: that is exported again.
        listeners: listeners of this run, and not of those of its teachers.
        notes: warnings to give at the start.

    Raises:
        Differs: the folder contains another run.
        KdzooError: bad input, another process that writes the folder, or a loss that is not finite; the folder keeps
            the last good checkpoint.
    """
    place = RunFolder(planned.folder)
    try:
        with _owned(place, resources) as note:
            place.check_new(resume)
            resources.fabric.barrier()  # otherwise a slow process mistakes the files of a fast one for another run's
            notes = [*notes, *note]
            planned = as_before(planned, resources.fabric.world_size)
            if resume and (done := finished(place.path)) is not None:
                if (spoilt := damage(place.path, done)) is None:
                    _check_same(planned, resources)
                    return done
                notes.append(f"{spoilt}; it is written again")
            with Session(planned, place, resources, train_teacher, listeners, notes) as session:
                session.open()
                memory = told_of_memory(planned.job.name, session.recipe, place, resources.fabric.device)
                with memory, told_of_copies():
                    while teachers := session.enroll():
                        for teacher in teachers:
                            train_teacher(teacher, resources, session.warn)
                    return session.run()
    finally:
        place.leave()


def train_teacher(
    planned: Planned, resources: Resources, tell: Callable[[str], None] = lambda line: None
) -> None:
    """Train a teacher unless the cache has it: resume an interrupted run, or restart it if that is damaged.

    If another process trains it, on any machine that shares the cache, this one waits; ``tell`` is told for whom.

    Raises:
        KdzooError: bad input, or a teacher's loss that is not finite.
    """
    with alone(planned, resources, tell):
        if resources.fabric.broadcast(is_trained(planned)):
            return
        try:
            _train(planned, resources)
        except NotFinite as error:
            why = f"{planned.job.name}, which is trained first: {error}; --teacher-lr is its own"
            raise KdzooError(why) from None


def _train(planned: Planned, resources: Resources) -> None:
    try:
        conduct(planned, resources, resume=True)
    except Damaged as error:
        resources.fabric.barrier()
        if resources.main:
            shutil.rmtree(planned.folder, ignore_errors=True)
        resources.fabric.barrier()
        conduct(planned, resources, resume=True, notes=[f"{error}; the teacher is trained anew"])


@contextmanager
def _owned(place: RunFolder, resources: Resources) -> Iterator[list[str]]:
    """Own the folder in the main process inside the block; gives warnings about it."""
    refusal: str | None = None
    try:
        if resources.main:
            try:
                place.owner.take()
            except KdzooError as error:
                refusal = str(error)
        if (said := resources.fabric.broadcast(refusal)) is not None:
            raise KdzooError(said)
        yield [place.owner.note] if place.owner.note else []
    finally:
        place.owner.release()


def _check_same(planned: Planned, resources: Resources) -> None:
    """Compare a finished run with the job, as far as possible without opening the data."""
    before = read_identity(planned.folder)
    if before is None:
        return
    now = identity_of(
        planned.recipe,
        None,
        components_of(planned.recipe, resources.zoo),
        processes=None,
        weights_only=planned.weights_only,
    )
    differences = now.differences(before, known=True)
    if differences:
        raise Differs(f"{planned.folder}: cannot resume", differences)
