"""Supervision transfer as a pure function of two networks' features.

It takes any floating dtype and computes in at least float32.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.api import Reduction, at_least_float32, reduce


def transfer_loss(student: Tensor, teacher: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """The squared L2 distance of paired features; Gupta, Hoffman and Malik 2016, with L2 for their f.

    It is divided by the number of features, so that its weight does not depend on the width. Neither side is
    detached.

    Args:
        student: (B, D) or (B, C, H, W), of the student's modality.
        teacher: the same shape, of the teacher's modality of the same samples.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: shapes that differ, or an unknown reduction.
    """
    if student.shape != teacher.shape or student.ndim < 2:
        raise ValueError(
            f"features must have one shape (B, ...), not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    return reduce((student - teacher).square().flatten(1).mean(dim=1), reduction)
