"""Distances and angles between embeddings: Park, Kim, Lu and Cho 2019."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.api import at_least_float32

DUPLICATE = 1e-6
"""Embeddings closer than this fraction of the mean distance are treated as equal: no direction between them."""


def rkd_loss(
    student: Tensor, teacher: Tensor, *, distance_weight: float = 25.0, angle_weight: float = 50.0
) -> Tensor:
    """Weighted sum of :func:`rkd_distance_loss` and :func:`rkd_angle_loss`; a term of weight 0 is not computed.

    Args:
        student: (B, D) embeddings.
        teacher: (B, D') embeddings.
        distance_weight: ≥ 0.
        angle_weight: ≥ 0.

    Returns:
        A scalar.

    Raises:
        ValueError: the inputs are not two matrices with the same number of rows.
    """
    _check(student, teacher)
    loss = student.new_zeros((), dtype=at_least_float32(student.dtype))
    if distance_weight:
        loss = loss + distance_weight * rkd_distance_loss(student, teacher)
    if angle_weight:
        loss = loss + angle_weight * rkd_angle_loss(student, teacher)
    return loss


def rkd_distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between pairwise distances relative to their mean; Park et al. 2019, section 3.2.1.

    Args:
        student: (B, D) embeddings.
        teacher: (B, D') embeddings.

    Returns:
        A scalar: the mean over all B² pairs, including the zeros of the diagonal.

    Raises:
        ValueError: the inputs are not two matrices with the same number of rows.
    """
    _check(student, teacher)
    return F.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher))


def rkd_angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between the cosines of all triplets' angles; Park et al. 2019, section 3.2.2.

    Between two equal embeddings there is no direction: the cosines are 0, without gradient. (A normalisation
    that only adds an epsilon has a gradient of 1/epsilon there.)

    Args:
        student: (B, D) embeddings.
        teacher: (B, D') embeddings.

    Returns:
        A scalar: the mean over all B³ triplets, including the zeros of the degenerate ones.

    Raises:
        ValueError: the inputs are not two matrices with the same number of rows.
    """
    _check(student, teacher)
    return F.smooth_l1_loss(_cosines(student), _cosines(teacher))


def _relative_distances(embedding: Tensor) -> Tensor:
    """(B, B)."""
    distances = _distances(embedding)
    return distances / _mean_distance(distances)


def _cosines(embedding: Tensor) -> Tensor:
    """(B, B, B): at [j, i, k] the cosine of the angle at vertex j between the rays to i and to k.

    By the law of cosines from the distances alone, which costs D times less than products of all rays.
    """
    distances = _distances(embedding)
    distinct = distances > DUPLICATE * _mean_distance(distances.detach())
    # The inner where keeps the division's gradient finite at the entries that the outer one discards.
    inverse = torch.where(distinct, torch.where(distinct, distances, 1.0).reciprocal(), 0.0)
    squares = distances.square()
    opposite = squares.unsqueeze(2) + squares.unsqueeze(1) - squares
    return opposite * (0.5 * inverse.unsqueeze(2) * inverse.unsqueeze(1))


def _distances(embedding: Tensor) -> Tensor:
    """(B, B), in the exact form: the faster one, by a matrix product, suffers from cancellation for close points."""
    embedding = at_least_float32(embedding)
    return torch.cdist(embedding, embedding, compute_mode="donot_use_mm_for_euclid_dist")


def _mean_distance(distances: Tensor) -> Tensor:
    """The mean over pairs of different samples; slightly above 0 where all embeddings are equal."""
    samples = distances.shape[0]
    return distances.sum().div(max(samples * (samples - 1), 1)).clamp_min(1e-12)


def _check(student: Tensor, teacher: Tensor) -> None:
    if student.ndim != 2 or teacher.ndim != 2 or student.shape[0] != teacher.shape[0]:
        raise ValueError(
            f"student and teacher embeddings must be (B, D) and (B, D'), not {tuple(student.shape)} "
            f"and {tuple(teacher.shape)}"
        )
