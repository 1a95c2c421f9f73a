"""Feature-based losses as pure functions of feature maps, student before teacher.

They take any floating dtype and compute in float32 at least. Neither side is detached: run the teacher under
``torch.no_grad`` where it should not learn.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


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
    student, teacher = _pool_to_smaller(student, teacher)
    loss = (student - teacher).square().mean(dim=(1, 2, 3))
    return loss.mean() if reduction == "mean" else loss


def _pool_to_smaller(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    height, width = (min(sides) for sides in zip(student.shape[2:], teacher.shape[2:], strict=True))
    return _pool(student, height, width), _pool(teacher, height, width)


def _pool(feature: Tensor, height: int, width: int) -> Tensor:
    feature = feature.to(torch.promote_types(feature.dtype, torch.float32))
    if feature.shape[2:] == (height, width):
        return feature
    return F.adaptive_avg_pool2d(feature, (height, width))
