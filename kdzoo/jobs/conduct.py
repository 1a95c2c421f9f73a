"""Doing a job, whoever asked for it: a user, a student's run that needs a teacher, or a suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdzoo.engine.components import components_of
from kdzoo.engine.listeners import Listener
from kdzoo.errors import KdzooError, NotFinite
from kdzoo.jobs.folder import RunFolder
from kdzoo.jobs.identity import identity_of
from kdzoo.jobs.plan import Planned
from kdzoo.jobs.resources import Resources
from kdzoo.jobs.session import Session
from kdzoo.jobs.teachers import alone, is_trained
from kdzoo.recipe.identity import Differs, read_identity


def conduct(
    planned: Planned, resources: Resources, *, resume: bool, listeners: Sequence[Listener] = ()
) -> Mapping[str, Any]:
    """Do the jobs of the teachers that this one needs and the cache lacks, then this one; its result.

    Args:
        planned: the job.
        resources: with what it is done.
        resume: go on from the folder's checkpoint if it has one; a finished job returns its result at once.
        listeners: are told what happens in this run, and not in those of its teachers.

    Raises:
        Differs: the folder holds another run.
        KdzooError: bad input, or a loss that is not finite; the folder keeps the last good checkpoint.
    """
    place = RunFolder(planned.folder, resume=resume)
    resources.fabric.barrier()  # else a slow process finds the files of a quick one, and takes them for another run
    done = place.result if resume else None
    if done is not None:
        _check_same(planned, resources)
        return done
    with Session(planned, place, resources, train_teacher, listeners) as session:
        session.open()
        while teachers := session.enroll():
            for teacher in teachers:
                train_teacher(teacher, resources)
        return session.run()


def train_teacher(planned: Planned, resources: Resources) -> None:
    """Train a teacher unless the cache has it; go on where an interrupted run stopped.

    Raises:
        KdzooError: bad input, or a loss of the teacher's that is not finite.
    """
    with alone(planned, resources):
        if not resources.fabric.broadcast(is_trained(planned)):
            try:
                conduct(planned, resources, resume=True)
            except NotFinite as error:
                why = f"{planned.job.name}, which is trained first: {error}; --teacher-lr is its own"
                raise KdzooError(why) from None


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
