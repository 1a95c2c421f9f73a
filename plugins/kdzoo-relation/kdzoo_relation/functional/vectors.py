"""Vectors of unit length, and checks of shapes."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["none", "mean"]


def at_least_float32(tensor: Tensor) -> Tensor:
    """``tensor`` in float32 if it is of half precision, else as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def unit(vectors: Tensor) -> Tensor:
    """Each vector of the last dimension at length 1, in float32 at least.

    A vector of zeros stays zero and gets no gradient; a normalisation that adds an epsilon has a gradient of
    1/epsilon there.
    """
    vectors = at_least_float32(vectors)
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    some = length > torch.finfo(vectors.dtype).tiny
    # The inner where keeps the division's gradient finite where the outer one then drops it.
    return torch.where(some, vectors / torch.where(some, length, 1.0), 0.0)


def product(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` in their own precision, which autocast would lower."""
    kind = left.device.type
    available = torch.amp.is_autocast_available(kind)
    with torch.autocast(kind, enabled=False) if available else nullcontext():
        return left @ right


def cosines(vectors: Tensor) -> Tensor:
    """(B, D) to (B, B): the cosine of each pair."""
    vectors = unit(vectors)
    return product(vectors, vectors.T)


def check_embeddings(student: Tensor, teacher: Tensor) -> None:
    """Refuse what is not two matrices of one batch.

    Raises:
        ValueError: with both shapes.
    """
    if student.ndim != 2 or teacher.ndim != 2 or student.shape[0] != teacher.shape[0]:
        raise ValueError(
            f"student and teacher embeddings must be (B, D) and (B, D'), not {tuple(student.shape)} "
            f"and {tuple(teacher.shape)}"
        )


def check_maps(student: Tensor, teacher: Tensor) -> None:
    """Refuse what is not two stacks of maps of one batch with the same number of channels.

    Raises:
        ValueError: with both shapes.
    """
    if student.ndim != 4 or teacher.ndim != 4 or student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            "student and teacher maps must be (B, C, H, W) with the same B and C, "
            f"not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )


def check_choice(name: str, value: str, *choices: str) -> None:
    """Refuse an option that does not exist.

    Raises:
        ValueError: with what there is.
    """
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}")


def reduced(loss: Tensor, reduction: Reduction) -> Tensor:
    """(B,) as it is or as its mean.

    Raises:
        ValueError: an unknown reduction.
    """
    check_choice("reduction", reduction, "none", "mean")
    return loss.mean() if reduction == "mean" else loss
