"""The softmax-regression loss of SRRL."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional

from kdzoo.api import Reduction, at_least_float32, choice, reduce


def regression_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    form: Literal["mse", "cross-entropy"] = "mse",
    reduction: Reduction = "mean",
) -> Tensor:
    """Difference of two representations after the teacher's classifier: Yang et al. 2021.

    Args:
        student: (B, K), logits of the teacher's classifier for the student's representation.
        teacher: (B, K), the teacher's logits.
        form: ``"mse"``, the mean squared difference of the logits; ``"cross-entropy"`` with the teacher's
            probabilities.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: shapes that differ, an unknown form or reduction.
    """
    choice("form", form, ("mse", "cross-entropy"))
    if student.shape != teacher.shape or student.ndim != 2:
        raise ValueError(
            f"logits must be (B, K) on both sides, not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    if form == "mse":
        loss = (student - teacher).square().mean(dim=1)
    else:
        loss = functional.cross_entropy(student, teacher.softmax(dim=1), reduction="none")
    return reduce(loss, reduction)
