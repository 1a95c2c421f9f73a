"""Be your own teacher: exits that learn from the deepest classifier (Zhang et al. 2019), and early exit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kdzoo.api import Reduction, at_least_float32, pool_to_smaller, reduce, softened_kl


def byot_loss(
    exit_logits: Tensor,
    deepest_logits: Tensor,
    exit_map: Tensor | None = None,
    deepest_map: Tensor | None = None,
    *,
    alpha: float = 0.1,
    temperature: float = 3.0,
    hint: float = 1e-4,
    squared: bool = True,
    reduction: Reduction = "mean",
) -> Tensor:
    """Distillation loss of one exit; Zhang et al. 2019, equation 6 without the task loss.

    ``alpha`` x KL(deepest || exit) of the softened probabilities + ``hint`` x squared distance of the maps.

    Args:
        exit_logits: (B, K).
        deepest_logits: (B, K); not detached by this function.
        exit_map: (B, C, H, W); needed where ``hint`` is not 0.
        deepest_map: (B, C, H', W').
        alpha: ≥ 0.
        temperature: > 0.
        hint: ≥ 0; 0 switches the maps off.
        squared: multiply the divergence by temperature².
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: shapes that do not fit, or missing maps.

    """
    loss = alpha * softened_kl(exit_logits, deepest_logits, temperature, squared=squared)
    if hint:
        if exit_map is None or deepest_map is None:
            raise ValueError("a hint needs the maps of both sides; hint=0 does without")
        loss = loss + hint * squared_distance(exit_map, deepest_map)
    return reduce(loss, reduction)


def squared_distance(one: Tensor, other: Tensor) -> Tensor:
    """Sum over channels and positions of the squared difference of two maps, pooled to the smaller size.

    Args:
        one: (B, C, H, W).
        other: (B, C, H', W').

    Returns:
        (B,).

    Raises:
        ValueError: batches or channels differ, or these are not maps.

    """
    if one.ndim != 4 or other.ndim != 4 or one.shape[:2] != other.shape[:2]:
        raise ValueError(
            f"maps must be (B, C, H, W) with the same B and C, not {tuple(one.shape)} and {tuple(other.shape)}"
        )
    one, other = pool_to_smaller(at_least_float32(one), at_least_float32(other))
    return (one - other).square().flatten(1).sum(dim=1)


def first_confident(logits: Sequence[Tensor], threshold: float) -> Tensor:
    """The exit of each sample: the first whose highest probability is above the threshold, else the last.

    Args:
        logits: (B, K) of each exit, shallow to deep; the last is the network's own.
        threshold: from 0 (all samples leave at the first exit) to 1 (all at the last).

    Returns:
        (B,) int64 numbers of exits, from 0.

    Raises:
        ValueError: no logits, or shapes that differ.

    """
    if not logits or any(one.ndim != 2 or one.shape != logits[0].shape for one in logits):
        raise ValueError(
            f"logits must be (B, K), the same for all exits, not {[tuple(one.shape) for one in logits]}"
        )
    sure = torch.stack([confident(one, threshold) for one in logits[:-1]] + [_all(logits[-1])])
    return sure.to(torch.uint8).argmax(dim=0)  # argmax returns the first exit that is confident


def confident(logits: Tensor, threshold: float) -> Tensor:
    """(B,) bool: whether the highest probability of (B, K) logits is above the threshold."""
    return at_least_float32(logits).softmax(dim=1).amax(dim=1) > threshold


def _all(logits: Tensor) -> Tensor:
    return torch.ones(logits.shape[0], dtype=torch.bool, device=logits.device)
