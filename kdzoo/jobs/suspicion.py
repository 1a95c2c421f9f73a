"""Doubts about a teacher hardly better than chance, before hours are spent on its student."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kdzoo.api.batch import UNLABELLED
from kdzoo.backbone import Backbone
from kdzoo.engine.reinforced import AbsentTeacher
from kdzoo.engine.run import TrainingRun
from kdzoo.errors import KdzooError

_ENOUGH = 50
"""Images on which a teacher is refused; with fewer, being near chance may be bad luck, and is a warning."""

_SHOWN = 12
"""Class names that a suggestion lists."""


@dataclass(frozen=True)
class Doubt:
    """What is doubtful about a teacher: a warning, or a reason to refuse it."""

    text: str
    refuses: bool


def answers(module: nn.Module, classes: int) -> bool:
    """Whether it is a network for this task, and not for a part of its classes."""
    if not isinstance(module, Backbone) or isinstance(module, AbsentTeacher):
        return False
    return module.num_classes == classes > 0


def near_chance(run: TrainingRun, known: Mapping[str, float]) -> Iterator[Doubt]:
    """A doubt for each frozen network whose accuracy is hardly better than chance.

    Its accuracy is measured on the validation split, or on the test split if there is none. One that was not trained
    by kdzoo is refused, unless its role says ``trust``.

    Args:
        run: the run, after enrolment.
        known: role -> accuracy in percent of teachers trained by kdzoo.
    """
    classes = run.data.classes
    if not classes:
        return
    chance = 100.0 / len(classes)
    limit = min(chance + 0.1 * (100.0 - chance), 5.0 * chance)
    name = "test" if run.data.val is None else "validation"
    for role, member in run.members.items():
        # Weights that are not a file's are the run's own, such as a moving average of the student.
        if member.student or member.learns or member.stored or not answers(member.module, len(classes)):
            continue
        if role in known:
            if known[role] < limit:
                yield Doubt(_text(role, known[role], "test", chance), refuses=False)
            continue
        counts = _counts(run, role)
        number = float(counts.sum())
        reached = 100.0 * float(counts.diag().sum()) / max(number, 1.0)
        if reached < limit:
            text = _text(role, reached, name, chance) + _suggested(counts, classes, role, 2 * limit)
            config = run.recipe.roles.get(role)
            trusted = config is not None and config.trust
            yield Doubt(text, refuses=number >= _ENOUGH and not trusted)


def warned_or_refused(doubts: Iterator[Doubt]) -> Iterator[str]:
    """The warnings.

    Raises:
        KdzooError: a doubt is a reason to refuse the teacher.
    """
    for doubt in doubts:
        if doubt.refuses:
            raise KdzooError(f"{doubt.text} To use it as it is: --set roles.teacher.trust=true")
        yield doubt.text


def _text(role: str, reached: float, seen: str, chance: float) -> str:
    return (
        f"{role} is right for {reached:.1f} % of the {seen} images, where chance is {chance:.1f} %: are its classes "
        "in the order of the data's, and its images normalised as in its training?"
    )


def _counts(run: TrainingRun, role: str) -> Tensor:
    """(K, K): for each class that ``role`` predicts, how many images of each class; over all processes."""
    number = len(run.data.classes)
    counts = torch.zeros(number * number, device=run.device, dtype=torch.float64)
    columns = run.columns(role)
    with run.measuring():
        for batch in run.data.test if run.data.val is None else run.data.val:
            assert batch.target is not None
            found = run.answers.unremembered(role, batch).logits.argmax(dim=1)
            found = found if columns is None else columns.to_classes(found)
            cells = (found * number + batch.target)[batch.target != UNLABELLED]
            counts += torch.bincount(cells, minlength=number * number)
    if run.fabric.world_size > 1:
        summed = run.fabric.all_reduce(counts, reduce_op="sum")
        assert isinstance(summed, Tensor)
        counts = summed
    return counts.reshape(number, number).cpu()


def _suggested(counts: Tensor, classes: tuple[str, ...], role: str, enough: float) -> str:
    """The order of classes in which the teacher is right far more often; empty if there is none.

    Args:
        counts: (K, K), predicted class by true class.
        classes: names.
        role: of the teacher.
        enough: least accuracy in percent with the other order.
    """
    left, order = counts.clone(), [0] * len(classes)
    for _ in classes:
        row, column = divmod(int(left.argmax()), len(classes))
        order[row] = column
        left[row], left[:, column] = -1, -1
    right = sum(float(counts[row, column]) for row, column in enumerate(order))
    reached = 100.0 * right / max(float(counts.sum()), 1.0)
    if reached < enough:
        return ""
    names = [classes[column] for column in order]
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return (
        f" In the order [{shown}] of its classes it would be right for {reached:.1f} %: "
        f"set roles.{role}.label_names to it."
    )
