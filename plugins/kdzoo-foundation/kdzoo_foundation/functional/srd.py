"""The log-sum loss of SRD."""

from __future__ import annotations

from torch import Tensor

from kdzoo.api import at_least_float32

_LEAST = 1e-8
"""Added below the logarithm, which has no value for equal features, and to variances."""


def log_sum_loss(student: Tensor, teacher: Tensor, *, power: float = 4.0) -> Tensor:
    """The logarithm of a sum of powers of the difference between features that are normalised over the batch.

    ``log(mean over the batch of Σ_c |s - t|^power)`` (Miles and Mikolajczyk 2024), where s and t have mean 0 and
    variance 1 in each channel over the batch, as batch normalisation without parameters makes them.

    Args:
        student: (B, C), already mapped to the teacher's channels; B >= 2.
        teacher: (B, C).
        power: of the absolute differences, > 0.

    Returns:
        A scalar.

    Raises:
        ValueError: the shapes differ or are not (B, C).
    """
    if student.shape != teacher.shape or student.ndim != 2:
        raise ValueError(
            f"student and teacher must be (B, C) and of the same shape, not {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}"
        )
    ours, theirs = (_over_the_batch(at_least_float32(one)) for one in (student, teacher))
    return (_LEAST + (ours - theirs).abs().pow(power).sum(dim=1).mean()).log()


def _over_the_batch(vectors: Tensor) -> Tensor:
    """Mean 0 and variance 1 in each channel; a channel that does not vary is 0."""
    centred = vectors - vectors.mean(dim=0)
    return centred / (centred.square().mean(dim=0) + 1e-5).sqrt()
