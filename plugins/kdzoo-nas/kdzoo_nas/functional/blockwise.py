"""How well a block reproduces a teacher's stage: Li, Peng, Yuan, Wang, Liang, Lin and Chang 2020 (DNA)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from kdzoo.api import at_least_float32, choice


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
    choice("power", power, (1, 2))
    if student.shape != teacher.shape:
        raise ValueError(
            f"both sides must have one shape, not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    # The population's deviation, so that a constant answer gets exactly 1; a dead stage divides by no zero.
    spread = teacher.std(correction=0).clamp(min=1e-6)
    return ((student - teacher).abs() / spread).pow(power).mean()
