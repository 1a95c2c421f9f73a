"""Logits of several branches, weighted by a gate: Lan, Zhu and Gong 2018."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kdzoo_online.functional.stack import stacked


def gated_logits(logits: Sequence[Tensor], gate: Tensor) -> Tensor:
    """The weighted sum of the branches' logits; equation 3.

    Args:
        logits: (B, K) of each of M ≥ 2 branches.
        gate: (B, M) weights ≥ 0, which sum to 1 for each sample.

    Returns:
        (B, K).

    Raises:
        ValueError: fewer than two branches, or shapes that do not fit.

    """
    stack = stacked(logits)
    if gate.shape != (stack.shape[1], len(stack)):
        raise ValueError(f"the gate must be ({stack.shape[1]}, {len(stack)}), not {tuple(gate.shape)}")
    wide = gate.to(torch.promote_types(gate.dtype, stack.dtype))
    return (wide.T.unsqueeze(2) * stack).sum(dim=0)
