"""Doing a job, whoever asked for it: a user, a student's run that needs a teacher, or a suite."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kdzoo.engine.components import components_of
from kdzoo.engine.listeners import Listener
from kdzoo.errors import Damaged, KdzooError
from kdzoo.jobs.folder import RunFolder, damage, finished
from kdzoo.jobs.identity import identity_of
from kdzoo.jobs.plan import Planned
from kdzoo.jobs.resources import Resources
from kdzoo.jobs.session import Session
from kdzoo.jobs.teachers import alone, is_trained
from kdzoo.owner import Owner
from kdzoo.recipe.identity import Differs, read_identity


def conduct(
    planned: Planned,
    resources: Resources,
    *,
    resume: bool,
    listeners: Sequence[Listener] = (),
    notes: Sequence[str] = (),
) -> Mapping[str, Any]:
    """Do the jobs of the teachers that this one needs and the cache lacks, then this one; its result.

    Args:
        planned: the job.
        resources: with what it is done.
        resume: go on from the folder's checkpoint if it has one; a finished job returns its result at once, unless
            its student is damaged: that is exported again.
        listeners: are told what happens in this run, and not in those of its teachers.
        notes: warnings that the run begins with.

    Raises:
        Differs: the folder holds another run.
        KdzooError: bad input, another process that writes the folder, or a loss that is not finite; the folder keeps
            the last good checkpoint.
    """
    place = RunFolder(planned.folder)
    try:
        with _owned(place, resources) as note:
            place.check_new(resume)
            resources.fabric.barrier()  # else a slow process takes the files of a quick one for another run's
            notes = [*notes, *note]
            if resume and (done := finished(place.path)) is not None:
                if (spoilt := damage(place.path, done)) is None:
                    _check_same(planned, resources)
                    return done
                notes.append(f"{spoilt}; it is written again")
            with Session(planned, place, resources, train_teacher, listeners, notes) as session:
                session.open()
                while teachers := session.enroll():
                    for teacher in teachers:
                        train_teacher(teacher, resources)
                return session.run()
    finally:
        place.leave()


def train_teacher(planned: Planned, resources: Resources) -> None:
    """Train a teacher unless the cache has it: from where an interrupted run stopped, anew if that is damaged."""
    with alone(planned, resources):
        if resources.fabric.broadcast(is_trained(planned)):
            return
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
    """While the main process owns the folder; what should be known about that."""
    owner = Owner(place.path)
    refusal: str | None = None
    try:
        if resources.main:
            try:
                owner.take()
            except KdzooError as error:
                refusal = str(error)
        if (said := resources.fabric.broadcast(refusal)) is not None:
            raise KdzooError(said)
        yield [owner.note] if owner.note else []
    finally:
        owner.release()


def _check_same(planned: Planned, resources: Resources) -> None:
    """Compare a finished run with the job as far as that can be done without opening the data."""
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
