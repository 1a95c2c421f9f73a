"""Vectors of unit length, and checks of shapes."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.api import at_least_float32, without_autocast


def unit(vectors: Tensor) -> Tensor:
    """Scale each vector of the last dimension to length 1, in at least float32.

    A zero vector stays zero and gets no gradient; a normalisation that adds an epsilon has a gradient of
    1/epsilon there.
    """
    vectors = at_least_float32(vectors)
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    some = length > torch.finfo(vectors.dtype).tiny
    # The inner where keeps the division's gradient finite at the entries that the outer one discards.
    return torch.where(some, vectors / torch.where(some, length, 1.0), 0.0)


def product(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` in the precision of the arguments, also under autocast."""
    with without_autocast(left):
        return left @ right


def cosines(vectors: Tensor) -> Tensor:
    """(B, D) to (B, B): the cosine of each pair."""
    vectors = unit(vectors)
    return product(vectors, vectors.T)


def check_embeddings(student: Tensor, teacher: Tensor) -> None:
    """Check that these are two matrices of one batch.

    Raises:
        ValueError: they are not; the message has both shapes.
    """
    if student.ndim != 2 or teacher.ndim != 2 or student.shape[0] != teacher.shape[0]:
        raise ValueError(
            f"student and teacher embeddings must be (B, D) and (B, D'), not {tuple(student.shape)} "
            f"and {tuple(teacher.shape)}"
        )


def check_maps(student: Tensor, teacher: Tensor) -> None:
    """Check that these are maps of one batch with the same number of channels.

    Raises:
        ValueError: they are not; the message has both shapes.
    """
    if student.ndim != 4 or teacher.ndim != 4 or student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            "student and teacher maps must be (B, C, H, W) with the same B and C, "
            f"not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
