"""Similarities between the samples of a batch: Tung and Mori 2019."""

from __future__ import annotations

from torch import Tensor

from kdzoo.api import at_least_float32
from kdzoo_relation.functional.vectors import product, unit


def sp_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of the networks' similarity matrices; Tung and Mori 2019, section 3.1.

    Each sample is flattened to one vector. The inner products of a batch form a B x B matrix whose rows are
    scaled to unit length; the loss is the sum of squares of the matrices' difference over B².

    Args:
        student: (B, ...) maps or embeddings.
        teacher: (B, ...), of any other shape behind B.

    Returns:
        A scalar, between 0 and 4 / B.

    Raises:
        ValueError: not the same number of samples, or no vectors.
    """
    if student.ndim < 2 or teacher.ndim < 2 or student.shape[0] != teacher.shape[0]:
        raise ValueError(
            f"student and teacher must be (B, ...) with the same B, not {tuple(student.shape)} "
            f"and {tuple(teacher.shape)}"
        )
    return (_similarities(student) - _similarities(teacher)).square().mean()


def _similarities(answer: Tensor) -> Tensor:
    """(B, B) with rows of unit length."""
    answer = at_least_float32(answer).flatten(1)
    return unit(product(answer, answer.T))
