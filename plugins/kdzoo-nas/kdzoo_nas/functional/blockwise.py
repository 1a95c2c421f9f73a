"""How well a block reproduces a teacher's stage: Li, Peng, Yuan, Wang, Liang, Lin and Chang 2020 (DNA)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def relative_error(student: Tensor, teacher: Tensor, *, power: Literal[1, 2] = 2) -> Tensor:
    """Mean of |student − teacher|^power, divided by the teacher's standard deviation to that power.

    So the errors of stages with large and small values can be added up. The teacher's mean as a constant answer
    has the error 1 with power 2.

    Args:
        student: any shape.
        teacher: the same shape; not detached here.
        power: 2 is what blocks are trained with, 1 what the paper rates them by.

    Returns:
        A scalar ≥ 0, float32 at least.

    Raises:
        ValueError: shapes that differ, or another power.

    """
    if student.shape != teacher.shape or power not in (1, 2):
        raise ValueError(
            f"both sides must have one shape and power be 1 or 2, not {tuple(student.shape)}, "
            f"{tuple(teacher.shape)} and {power}"
        )
    student, teacher = (one.to(torch.promote_types(one.dtype, torch.float32)) for one in (student, teacher))
    # The population's deviation, so that a constant answer gets exactly 1; a dead stage divides by no zero.
    spread = teacher.std(correction=0).clamp(min=1e-6)
    return ((student - teacher).abs() / spread).pow(power).mean()
