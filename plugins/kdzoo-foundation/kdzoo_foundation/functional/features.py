"""The loss between a student's predicted features and a teacher's."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import Reduction, at_least_float32, choice, reduce

Loss = Literal["cosine", "mse"]
"""How two vectors are compared: ``cosine`` with smooth-L1, or their mean squared difference."""


def feature_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    loss: Loss = "cosine",
    cosine: float = 0.9,
    smooth: float = 0.1,
    reduction: Reduction = "mean",
) -> Tensor:
    """Difference of two vectors for each sample, or for each position of two maps, averaged over the positions.

    ``cosine``: cosine · (1 - cos(s, t)) + smooth · smoothL1(s, t), as in AM-RADIO (Ranzinger et al. 2024). Smooth-L1
    turns from square to absolute value at 1 and is a mean over the channels. ``mse``: the mean square over the
    channels.

    Args:
        student: (B, C) or (B, C, H, W), already mapped to the teacher's channels and grid.
        teacher: the same shape.
        loss: how they are compared.
        cosine: weight of the cosine distance.
        smooth: weight of smooth-L1.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the shapes differ, or an unknown loss or reduction.
    """
    choice("loss", loss, ("cosine", "mse"))
    if student.shape != teacher.shape or student.ndim not in (2, 4):
        raise ValueError(
            "student and teacher must be (B, C) or (B, C, H, W) and of the same shape, "
            f"not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    if loss == "mse":
        found = (student - teacher).square().mean(dim=1)
    else:
        found = cosine * (1 - functional.cosine_similarity(student, teacher, dim=1))
        found = found + smooth * functional.smooth_l1_loss(student, teacher, reduction="none").mean(dim=1)
    return reduce(found.flatten(1).mean(dim=1) if found.ndim > 1 else found, reduction)


def resized(student: Tensor, teacher: Tensor) -> Tensor:
    """The student's map (B, C, h, w) on the grid of the teacher's (B, C', H, W): bilinear, smoothed if it shrinks."""
    if student.shape[-2:] == teacher.shape[-2:]:
        return student
    return functional.interpolate(student, teacher.shape[-2:], mode="bilinear", antialias=True)


def patch_similarity_loss(
    student: Tensor, teacher: Tensor, *, temperature: float = 0.07, reduction: Reduction = "mean"
) -> Tensor:
    """KL(teacher || student) between the rows of the patch-to-patch similarities within each image.

    A row holds the cosines of one patch with all others of its image, divided by the temperature, through a softmax.
    The two maps need not have the same number of channels.

    Args:
        student: (B, C, H, W).
        teacher: (B, C', H, W), with two positions or more.
        temperature: divides the cosines.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the grids differ or have a single position, or the reduction is unknown.
    """
    same = student.ndim == teacher.ndim == 4 and student.shape[0] == teacher.shape[0]
    if not same or student.shape[2:] != teacher.shape[2:] or student.shape[2:].numel() < 2:
        raise ValueError(
            "student and teacher must be maps (B, C, H, W) with the same grid of two positions or more, "
            f"not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    ours, theirs = (_others(one) / temperature for one in (student, teacher))
    ours, theirs = ours.log_softmax(dim=-1), theirs.log_softmax(dim=-1)
    return reduce((theirs.exp() * (theirs - ours)).sum(dim=-1).mean(dim=1), reduction)


def _others(feature: Tensor) -> Tensor:
    """(B, N, N - 1): the cosines of each of N patches with the others."""
    patches = functional.normalize(at_least_float32(feature).flatten(2), dim=1)
    cosines = patches.transpose(1, 2) @ patches
    number = cosines.shape[-1]
    others = ~torch.eye(number, dtype=torch.bool, device=cosines.device)
    return cosines[:, others].reshape(-1, number, number - 1)
