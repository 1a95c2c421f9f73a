"""The hint loss of FitNets."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from kdzoo.api import pool_to_smaller
from kdzoo_feature.functional.precision import at_least_float32


def hint_loss(student: Tensor, teacher: Tensor, *, reduction: Literal["none", "mean"] = "mean") -> Tensor:
    """Mean squared difference of two feature maps; Romero et al. 2015, equation 3, as a mean over elements.

    Where the maps differ in height or width, the larger is average-pooled to the smaller.

    Args:
        student: (B, C, H, W), already mapped to the teacher's channels by a regressor.
        teacher: (B, C, H', W').
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: batch or channels differ, or the reduction is unknown.
    """
    if student.ndim != 4 or teacher.ndim != 4 or student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            "student and teacher maps must be (B, C, H, W) with the same B and C, "
            f"not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    if reduction not in ("none", "mean"):
        raise ValueError(f"reduction must be 'none' or 'mean', not {reduction!r}")
    student, teacher = pool_to_smaller(at_least_float32(student), at_least_float32(teacher))
    loss = (student - teacher).square().mean(dim=(1, 2, 3))
    return loss.mean() if reduction == "mean" else loss
