"""The plan of a compression: networks are built, counted and timed, nothing is trained."""

from __future__ import annotations

import time
from collections.abc import Callable

from kdzoo.backbone.origin import FOLDER, TIMM
from kdzoo.bench.crew import Crew
from kdzoo.bench.progress import duration
from kdzoo.compress.available import obtainable
from kdzoo.compress.candidates import build, candidates
from kdzoo.compress.pace import pace_of, views_pace
from kdzoo.compress.plan import LADDER, LEAST_EPOCHS, Plan, Student, fitted
from kdzoo.compress.request import Request
from kdzoo.compress.shortlist import shortlist
from kdzoo.compress.survey import Survey
from kdzoo.compress.teacher import TooSlow, teacher_for
from kdzoo.errors import KdzooError
from kdzoo.registry.model import Registry
from kdzoo.zoo import Zoo

TEACHING = 0.25
"""Part of the time that the teacher's training may take."""

_TOGETHER = 1.2
"""Several runs at once are slower than one by so much: they share the memory."""


def make_plan(
    request: Request,
    survey: Survey,
    began: float,
    team: Crew,
    alone: Crew,
    zoo: Zoo,
    registry: Registry,
    tell: Callable[[str], None],
) -> Plan:
    """What is tried in the time that is left.

    Args:
        request: what is asked for.
        survey: the pictures.
        began: when the time began, by the monotonic clock.
        team: the workers of a suite.
        alone: the one worker that trains the teacher.
        zoo: the installed components.
        registry: of the methods.
        tell: is told what is being timed.

    Raises:
        KdzooError: a name is unknown, nothing is within the limits, or the time is too short; says the least.
    """

    def left() -> float:
        return request.budget - (time.monotonic() - began)

    methods = shortlist(request, survey.situation, registry, zoo)
    slower = _TOGETHER if len(team.devices) > 1 else 1.0
    views = slower * views_pace(survey, team.threads)
    tell("timing the teacher")
    try:
        teacher = teacher_for(request, survey, TEACHING * left(), views, team.threads, alone.threads, zoo)
    except TooSlow as error:
        raise _too_short(request, error.seconds / TEACHING + time.monotonic() - began) from None
    teacher = teacher.model_copy(update={"answer": slower * teacher.answer})
    students = []
    for one in candidates(request, survey, LADDER[0].students, teacher.parameters, zoo, tell):
        tell(f"timing {one.model}")
        pace = pace_of(build(one.model, survey, zoo), survey, team.threads)
        weights = one.model if one.model.startswith(FOLDER) else TIMM if obtainable(one.model) else None
        students.append(
            Student(
                model=one.model,
                weights=weights,
                parameters=one.parameters,
                train=slower * pace.train,
                answer=slower * pace.answer,
                footprint=str(one.footprint or ""),
            )
        )
    empty = Plan(
        situation=survey.situation,
        teacher=teacher,
        students=tuple(students),
        methods=tuple(methods),
        seeds=1,
        epochs=LEAST_EPOCHS,
        views=views,
        workers=len(team.devices),
        counts=(survey.train, survey.val, survey.test),
        batch=survey.config.batch_size,
    )
    plan = fitted(empty, left(), request, students, methods)
    if plan is None:
        fastest = min(students, key=lambda one: one.train)
        fewest = {
            "students": tuple(students) if request.students else (fastest,),
            "methods": tuple(methods) if request.methods else tuple(methods[:1]),
        }
        least = empty.model_copy(update=fewest).expected(LEAST_EPOCHS)
        raise _too_short(request, least + time.monotonic() - began)
    return plan.model_copy(update={"seconds": plan.seconds + time.monotonic() - began})


def _too_short(request: Request, least: float) -> KdzooError:
    return KdzooError(
        f"--budget of {duration(request.budget)} is too small for these pictures and networks on this machine: the "
        f"least is about {duration(1.1 * least)}"
    )
