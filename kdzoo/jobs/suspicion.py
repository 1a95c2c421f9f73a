"""A warning about a teacher hardly better than chance, before hours are spent on its student."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

from kdzoo.backbone import Backbone
from kdzoo.engine.evaluate import accuracy
from kdzoo.engine.run import TrainingRun


def answers(module: nn.Module, classes: int) -> bool:
    """Whether it is a network for this task, and not for a part of its classes."""
    return isinstance(module, Backbone) and module.num_classes == classes


def near_chance(run: TrainingRun, known: Mapping[str, float]) -> Iterator[str]:
    """A warning for each frozen network whose accuracy is hardly better than chance.

    Its accuracy is measured on the validation split, or on the test split if there is none.

    Args:
        run: the run, after enrolment.
        known: role -> accuracy in percent of teachers trained by kdzoo.
    """
    if not run.data.classes:
        return
    chance = 100.0 / len(run.data.classes)
    limit = min(chance + 0.1 * (100.0 - chance), 5.0 * chance)
    split, name = (run.data.test, "test") if run.data.val is None else (run.data.val, "validation")
    for role, member in run.members.items():
        if member.student or member.learns or not answers(member.module, len(run.data.classes)):
            continue
        reached, seen = (known[role], "test") if role in known else (accuracy(run, role, split), name)
        if reached is not None and reached < limit:
            yield (
                f"{role} is right for {reached:.1f} % of the {seen} images, where chance "
                f"is {chance:.1f} %: are its classes in the order of the data's, and its images normalised as in its "
                "training?"
            )
