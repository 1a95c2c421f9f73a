"""What the losses on pairs of feature maps share."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.api import at_least_float32, pool_to_smaller


def matched(student: Tensor, teacher: Tensor, *, channels: bool = True) -> tuple[Tensor, Tensor]:
    """Both maps in at least float32, the larger average-pooled to the height and width of the smaller.

    Args:
        student: (B, C, H, W).
        teacher: (B, C', H', W').
        channels: whether C and C' must be the same.

    Raises:
        ValueError: the shapes do not fit.
    """
    same = 2 if channels else 1
    if student.ndim != 4 or teacher.ndim != 4 or student.shape[:same] != teacher.shape[:same]:
        raise ValueError(
            f"student and teacher maps must be (B, C, H, W) with the same {'B and C' if channels else 'B'}, "
            f"not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    return pool_to_smaller(at_least_float32(student), at_least_float32(teacher))


def unit_length(vectors: Tensor) -> Tensor:
    """Scale along the last dimension to length 1; a zero vector is left as it is, with gradient 1.

    Dividing it by an epsilon would make its gradient huge.
    """
    squares = vectors.square().sum(dim=-1, keepdim=True)
    return vectors / torch.where(squares > 0, squares, 1).sqrt()
