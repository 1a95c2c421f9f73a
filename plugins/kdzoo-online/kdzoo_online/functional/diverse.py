"""A separate target for each peer: Chen, Mei, Wang, Feng and Chen 2020."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.api import at_least_float32
from kdzoo_online.functional.stack import stacked


def attention_weights(queries: Tensor, keys: Tensor) -> Tensor:
    """Attention of peer a to peer b: softmax over b of <query of a, key of b>; not symmetric.

    Args:
        queries: (B, M, D), the projected embeddings.
        keys: (B, M, D), another projection of the embeddings.

    Returns:
        (B, M, M); the last dimension sums to 1.

    Raises:
        ValueError: shapes that differ.

    """
    if queries.ndim != 3 or queries.shape != keys.shape:
        raise ValueError(
            f"queries and keys must be (B, M, D), not {tuple(queries.shape)} and {tuple(keys.shape)}"
        )
    queries, keys = (at_least_float32(one) for one in (queries, keys))
    return (queries @ keys.transpose(1, 2)).softmax(dim=2)


def mix_probabilities(
    logits: Sequence[Tensor], weights: Tensor, *, temperature: float = 1.0
) -> tuple[Tensor, ...]:
    """Logits whose softmax at ``temperature`` is a weighted mean of the peers' softmaxes at ``temperature``.

    The peers' probabilities are constants: only ``weights`` get a gradient.

    Args:
        logits: (B, K) of each of M ≥ 2 peers.
        weights: (B, A, M) for A targets; the last dimension sums to 1.
        temperature: > 0.

    Returns:
        A tensors (B, K): temperature x the log of the mixed probabilities.

    Raises:
        ValueError: fewer than two peers, or shapes that do not fit.

    """
    stack = stacked(logits)
    if weights.ndim != 3 or weights.shape[::2] != (stack.shape[1], len(stack)):
        raise ValueError(
            f"weights must be ({stack.shape[1]}, A, {len(stack)}) for A targets, not {tuple(weights.shape)}"
        )
    log_p = F.log_softmax(stack.detach() / temperature, dim=2).transpose(0, 1)
    # The logarithm of a sum of products, in the log domain; a weight of 0 contributes nothing.
    smallest = torch.finfo(weights.dtype).tiny
    mixed = (weights.clamp(min=smallest).log().unsqueeze(3) + log_p.unsqueeze(1)).logsumexp(dim=2)
    return tuple((temperature * mixed).unbind(dim=1))
