"""Feature maps of two networks, brought to one size."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def pool_to_smaller(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Average-pool the larger of two maps to the height and width of the smaller; channels stay as they are.

    Args:
        student: (B, C, H, W).
        teacher: (B, C', H', W').

    Returns:
        Both maps, (B, C, h, w) and (B, C', h, w) with h = min(H, H') and w = min(W, W').
    """
    size = min(student.shape[-2], teacher.shape[-2]), min(student.shape[-1], teacher.shape[-1])
    student, teacher = (
        one if one.shape[-2:] == size else functional.adaptive_avg_pool2d(one, size)
        for one in (student, teacher)
    )
    return student, teacher
