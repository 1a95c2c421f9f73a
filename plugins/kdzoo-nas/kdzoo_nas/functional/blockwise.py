"""Error of a block that reproduces a teacher's stage: Li, Peng, Yuan, Wang, Liang, Lin and Chang 2020 (DNA)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from kdzoo.api import at_least_float32, choice


def relative_error(student: Tensor, teacher: Tensor, *, power: Literal[1, 2] = 2) -> Tensor:
    """Mean of |student − teacher|^power, divided by the teacher's standard deviation to that power.

    The division makes the errors of stages with large and small values comparable. The teacher's mean as a
    constant output has error 1 with power 2.

    Args:
        student: any shape.
        teacher: the same shape; not detached by this function.
        power: 2 for the training of blocks, 1 for the paper's rating.

    Returns:
        A scalar ≥ 0, in at least float32.

    Raises:
        ValueError: shapes that differ, or another power.

    """
    choice("power", power, (1, 2))
    if student.shape != teacher.shape:
        raise ValueError(
            f"both sides must have one shape, not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    # The population's deviation, so that a constant output has error exactly 1; clamped for dead stages.
    spread = teacher.std(correction=0).clamp(min=1e-6)
    return ((student - teacher).abs() / spread).pow(power).mean()
