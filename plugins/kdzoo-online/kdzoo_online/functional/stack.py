"""Logits of several peers as one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kdzoo.api import at_least_float32


def wide(logits: Sequence[Tensor]) -> list[Tensor]:
    """(B, K) of each peer in at least float32.

    Raises:
        ValueError: fewer than two peers, or shapes that differ.

    """
    if len(logits) < 2 or any(one.ndim != 2 or one.shape != logits[0].shape for one in logits):
        raise ValueError(
            "at least two peers are needed, all with logits (B, K), "
            f"not {[tuple(one.shape) for one in logits]}"
        )
    return [at_least_float32(one) for one in logits]


def stacked(logits: Sequence[Tensor]) -> Tensor:
    """(M, B, K) in at least float32; raises the errors of :func:`wide`."""
    return torch.stack(wide(logits))


def known_classes(stack: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Class ids that can be used as indices, and a mask of the labelled samples (id not negative).

    Args:
        stack: (M, B, K).
        target: (B,) int64.

    Returns:
        (B,) int64 with 0 in place of a missing label, and (B,) bool.

    Raises:
        ValueError: not one class id for each sample.

    """
    if target.shape != stack.shape[1:2] or target.is_floating_point():
        raise ValueError(f"class ids must be integers ({stack.shape[1]},), not {tuple(target.shape)}")
    return target.clamp(min=0), target >= 0
