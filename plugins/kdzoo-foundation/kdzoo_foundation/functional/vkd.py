"""The loss of VkD."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import Reduction, at_least_float32, choice, reduce

Norm = Literal["layer", "whiten", "none"]
"""How the teacher's features are normalised."""


def normalised_loss(
    student: Tensor, teacher: Tensor, *, norm: Norm = "layer", reduction: Reduction = "mean"
) -> Tensor:
    """Smooth-L1 between projected features and the teacher's normalised ones, a mean over the channels.

    VkD (Miles, Elezi and Deng 2024): the projector is orthogonal, and the teacher alone is normalised. ``layer``
    gives each vector mean 0 and variance 1, for tasks that discriminate; ``whiten`` gives the batch the identity as
    its covariance, for tasks that need diverse features.

    Args:
        student: (B, C), mapped to the teacher's channels by an orthogonal projection.
        teacher: (B, C).
        norm: how the teacher's features are normalised.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: shapes that differ, or an unknown norm or reduction.
    """
    choice("norm", norm, ("layer", "whiten", "none"))
    if student.shape != teacher.shape or student.ndim != 2:
        raise ValueError(
            f"student and teacher must be (B, C) and of the same shape, not {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}"
        )
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    if norm == "layer":
        teacher = functional.layer_norm(teacher, teacher.shape[1:])
    elif norm == "whiten":
        teacher = whitened(teacher)
    return reduce(functional.smooth_l1_loss(student, teacher, reduction="none").mean(dim=1), reduction)


def whitened(vectors: Tensor) -> Tensor:
    """The batch (B, C) with mean 0 and, within the space that it spans, the identity as its covariance."""
    centred = vectors - vectors.mean(dim=0)
    left, values, right = torch.linalg.svd(centred, full_matrices=False)
    spans = values > values.amax() * 1e-5
    found: Tensor = (left * spans) @ right * len(vectors) ** 0.5
    return found
