"""The suites of a compression: a rung, which reads no test picture, and the final."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from kdzoo.bench.results import SuiteResults
from kdzoo.bench.words import several
from kdzoo.compress.plan import VALIDATIONS, Student
from kdzoo.compress.teacher import FINE_TUNED
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.roles import RoleConfig
from kdzoo.registry.model import Method, Registry, Suite

PLAIN, SMOOTHED = "baseline", "label-smoothing"
LONGER = "plain-as-long"
"""Plain training for as many seconds as distillation takes."""

CHOICE = "val/last"
_SEED = 1000
"""Of the rungs; the final's are others."""


class Arm(NamedTuple):
    """A student's model and a method."""

    student: str
    method: str


def with_longer(registry: Registry) -> Registry:
    """The registry, and plain training for as long as distillation takes."""
    plain = registry.methods[PLAIN]
    longer = plain.model_copy(
        update={
            "title": "No distillation, as many seconds",
            "summary": f"{plain.summary} As long as distilled.",
        }
    )
    methods: dict[str, Method] = {**registry.methods, LONGER: longer}
    return registry.model_copy(update={"methods": methods})


def rung(
    arms: Sequence[Arm], students: Sequence[Student], teacher: RoleConfig, data: DataConfig, epochs: int,
    *, labelled: bool,
) -> Suite:  # fmt: skip
    """Each arm on one seed, and plain training of every student beside them where there are labels."""
    methods = list(dict.fromkeys(one.method for one in arms))
    pairs = []
    for one in students:
        own = [arm.method for arm in arms if arm.student == one.model]
        if own:
            pairs.append(_pair(one, teacher, [name for name in methods if name not in own]))
    content = {"pairs": pairs, "methods": methods, "baseline": PLAIN if labelled else methods[0]}
    return _suite(content, data, epochs, seeds=[_SEED], headline=CHOICE if labelled else "test/last")


def final(
    arm: Arm, student: Student, teacher: RoleConfig, data: DataConfig, epochs: int, longer: int, seeds: int,
    *, labelled: bool,
) -> Suite:  # fmt: skip
    """The winner and its controls on several seeds; the test pictures are read at the end of each run.

    Args:
        arm: the winner.
        student: its student.
        teacher: as a role.
        data: the pictures.
        epochs: of every run but the longer one.
        longer: epochs of plain training that take as long.
        seeds: how many.
        labelled: whether there is something to compare.
    """
    controls = [SMOOTHED, LONGER] if labelled else []
    content = {
        "pairs": [_pair(student, teacher, [])],
        "methods": [arm.method, *controls],
        "baseline": PLAIN if labelled else arm.method,
        "settings": {LONGER: {"epochs": longer, "eval_every": _between(longer)}} if labelled else {},
    }
    return _suite(content, data, epochs, seeds=list(range(seeds)), headline="test/last")


def about(arm: Arm, suite: Suite) -> str:
    """The final in words."""
    seeds = several(len(suite.seeds), "seed")
    longer = suite.settings.get(LONGER, {}).get("epochs")
    as_long = "" if longer is None else f", plain training for as many seconds {longer}"
    return f"{arm.method} with {arm.student}, {seeds}, {several(suite.epochs, 'epoch')}{as_long}"


def teaching(student: Student, teacher: RoleConfig, data: DataConfig, method: str) -> Suite:
    """A suite whose only use is that its teacher is trained."""
    content = {"pairs": [_pair(student, teacher, [])], "methods": [method], "baseline": PLAIN}
    return _suite(content, data, 1, seeds=[0], headline="test/last")


def ranked(results: SuiteResults, arms: Sequence[Arm]) -> list[tuple[Arm, float]]:
    """The arms with their validation accuracy, the best first; those that failed are missing."""
    found = []
    for pair in results.pairs:
        student = pair.pair.partition(">")[2]
        for row in pair.rows:
            arm = Arm(student, row.entry)
            if arm in arms:
                found.append((arm, row.last.mean))
    return sorted(found, key=lambda one: -one[1])


def halved(order: Sequence[tuple[Arm, float]], keep: int) -> list[Arm]:
    """The best of a ranking."""
    return [arm for arm, _ in order[:keep]]


def times_as_long(results: SuiteResults, arm: Arm) -> float | None:
    """How many times the seconds of plain training an epoch of distillation takes; None if it is not known."""
    found = {}
    for run in results.ledger.runs:
        if run.pair.partition(">")[2] == arm.student and run.entry in (PLAIN, arm.method):
            recorded = results.runs.get(run.folder)
            seconds = (
                [one.figures["seconds"] for one in recorded.epochs if "seconds" in one.figures]
                if recorded
                else []
            )
            if recorded is None or recorded.result is None or not seconds:
                continue
            saved = recorded.result.figure("teacher/seconds_saved") or 0.0
            found[run.entry] = fmean(seconds[1:] or seconds) + saved / len(seconds)
    return max(1.0, found[arm.method] / found[PLAIN]) if len(found) == 2 and found[PLAIN] else None


def _pair(student: Student, teacher: RoleConfig, without: Sequence[str]) -> dict[str, Any]:
    role: dict[str, Any] = {"model": student.model}
    recipe: dict[str, Any] = {}
    if student.weights is not None:
        role["weights"], recipe["optim"] = student.weights, {"lr": FINE_TUNED}
    return {
        "teacher": teacher.model_dump(exclude_unset=True),
        "student": role,
        "recipe": recipe,
        "without": list(without),
    }


def _suite(content: Mapping[str, Any], data: DataConfig, epochs: int, **more: Any) -> Suite:
    recipe = {"observers": [], "eval_every": _between(epochs)}
    whole = {
        **content,
        "data": data.model_dump(exclude_unset=True),
        "epochs": epochs,
        "recipe": recipe,
        **more,
    }
    return Suite.model_validate({**whole, "tune_seed": _SEED + 1})


def _between(epochs: int) -> int:
    """Epochs between validations."""
    return math.ceil(epochs / VALIDATIONS)
