"""The hint loss of FitNets."""

from __future__ import annotations

from torch import Tensor

from kdzoo.api import Reduction, at_least_float32, pool_to_smaller, reduce


def hint_loss(student: Tensor, teacher: Tensor, *, reduction: Reduction = "mean") -> Tensor:
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
    student, teacher = pool_to_smaller(at_least_float32(student), at_least_float32(teacher))
    loss = (student - teacher).square().mean(dim=(1, 2, 3))
    return reduce(loss, reduction)
