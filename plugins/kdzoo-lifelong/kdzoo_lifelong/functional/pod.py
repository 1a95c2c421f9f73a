"""Pooled outputs: Douillard, Cord, Ollion, Robert and Valle 2020."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import Reduction, at_least_float32, reduce


def pod_spatial_loss(
    student: Sequence[Tensor], previous: Sequence[Tensor], reduction: Reduction = "mean"
) -> Tensor:
    """Distance between maps summed along their width and along their height, averaged over the maps.

    Douillard et al. 2020, equations 3 to 5, with the squaring of each value and the normalisation of each
    sample's concatenated sums as in the text and the authors' code. Computed in at least float32.

    Args:
        student: maps (B, C, H, W).
        previous: maps of the same shapes.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: no maps, or shapes that differ.

    """
    if not student or [one.shape for one in student] != [one.shape for one in previous]:
        raise ValueError("pod_spatial_loss compares maps of the same shapes, at least one")
    losses = [(_sums(own) - _sums(other)).norm(dim=1) for own, other in zip(student, previous, strict=True)]
    loss = torch.stack(losses).mean(0)
    return reduce(loss, reduction)


def pod_flat_loss(student: Tensor, previous: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Squared distance between (B, D) embeddings scaled to unit length, which is 2 - 2 cos (equation 6)."""
    own, other = (functional.normalize(at_least_float32(one), dim=1) for one in (student, previous))
    loss = (own - other).square().sum(1)
    return reduce(loss, reduction)


def _sums(feature: Tensor) -> Tensor:
    """(B, C·H + C·W), of unit length."""
    square = at_least_float32(feature).square()
    joined = torch.cat([square.sum(3).flatten(1), square.sum(2).flatten(1)], dim=1)
    return functional.normalize(joined, dim=1)
