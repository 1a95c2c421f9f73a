"""The loss of factor transfer."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from kdzoo.api import Reduction, choice, reduce
from kdzoo_feature.functional.maps import matched, unit_length


def factor_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    power: Literal[1, 2] = 1,
    form: Literal["mean", "sum"] = "mean",
    reduction: Reduction = "mean",
) -> Tensor:
    """Distance of two factors, each scaled to length 1; Kim et al. 2018, equation 3.

    Where the factors differ in height or width, the larger is average-pooled to the smaller first.

    Args:
        student: (B, C, H, W), the translator's factor.
        teacher: (B, C, H', W'), the paraphraser's factor.
        power: power of the difference: 1 for its absolute value, 2 for its square.
        form: ``"mean"`` over the elements of a factor, as in the authors' code; ``"sum"``, as in the paper.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: batch or channels differ, or the reduction, form or power is unknown.
    """
    choice("power", power, (1, 2))
    choice("form", form, ("mean", "sum"))
    student, teacher = (unit_length(one.flatten(1)) for one in matched(student, teacher))
    difference = student - teacher
    difference = difference.abs() if power == 1 else difference.square()
    return reduce(difference.mean(dim=1) if form == "mean" else difference.sum(dim=1), reduction)
