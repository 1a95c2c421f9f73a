"""Logits of several branches, weighed by a gate: Lan, Zhu and Gong 2018."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kdzoo_online.functional.stack import stacked


def gated_logits(logits: Sequence[Tensor], gate: Tensor) -> Tensor:
    """The branches' logits, each times its weight for the sample; equation 3.

    Args:
        logits: (B, K) of each of M ≥ 2 branches.
        gate: (B, M) weights, for each sample ≥ 0 with the sum 1.

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
