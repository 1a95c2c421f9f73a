"""One soft target from the logits of all peers: Guo et al. 2020, section 3.

Where a target needs the label and a sample has none (a negative class id), the target is the peers' mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo_online.functional.stack import known_classes, stacked


def mean_logits(logits: Sequence[Tensor]) -> Tensor:
    """The mean of the peers' logits.

    Args:
        logits: (B, K) of each of M ≥ 2 peers.

    Returns:
        (B, K).

    Raises:
        ValueError: fewer than two peers, or shapes that differ.

    """
    return stacked(logits).mean(dim=0)


def best_peer(logits: Sequence[Tensor], target: Tensor) -> Tensor:
    """For each sample, the logits of the peer with the smallest cross-entropy; KDCL-Naive.

    Args:
        logits: (B, K) of each of M ≥ 2 peers.
        target: (B,) class ids.

    Returns:
        (B, K).

    Raises:
        ValueError: fewer than two peers, or shapes that differ.

    """
    stack = stacked(logits)
    ids, known = known_classes(stack, target)
    log_p = F.log_softmax(stack, dim=2)
    best = log_p[:, torch.arange(len(ids), device=ids.device), ids].argmax(dim=0)
    chosen = stack[best, torch.arange(len(ids), device=ids.device)]
    return torch.where(known[:, None], chosen, stack.mean(dim=0))


def minimum_logits(logits: Sequence[Tensor], target: Tensor) -> Tensor:
    """The peers' minimum for each wrong class, relative to the right one; KDCL-MinLogit.

    Each peer's logits are shifted so that the right class has 0, which does not change its softmax. The
    target is the minimum over the peers, class by class; its probability of the right class is at least that
    of every peer.

    Args:
        logits: (B, K) of each of M ≥ 2 peers.
        target: (B,) class ids.

    Returns:
        (B, K), 0 at the right class.

    Raises:
        ValueError: fewer than two peers, or shapes that differ.

    """
    stack = stacked(logits)
    ids, known = known_classes(stack, target)
    right = stack.gather(2, ids.expand(len(stack), -1).unsqueeze(2))
    return torch.where(known[:, None], (stack - right).amin(dim=0), stack.mean(dim=0))


def linear_logits(logits: Sequence[Tensor], target: Tensor, *, steps: int = 50) -> Tensor:
    """For each sample, the convex combination of the peers' logits with the smallest cross-entropy; KDCL-Linear.

    The problem is convex and is solved by the Frank-Wolfe algorithm from equal weights. It starts from the
    mean, and its distance from the optimum shrinks as 1 / ``steps``. The weights get no gradient.

    Args:
        logits: (B, K) of each of M ≥ 2 peers.
        target: (B,) class ids.
        steps: steps of the algorithm, ≥ 1.

    Returns:
        (B, K).

    Raises:
        ValueError: fewer than two peers, or shapes that differ.

    """
    stack = stacked(logits)
    ids, known = known_classes(stack, target)
    peers = len(stack)
    with torch.no_grad():
        one_hot = F.one_hot(ids, stack.shape[2]).to(stack.dtype)
        weights = torch.full_like(stack[:, :, 0], 1 / peers)
        for step in range(steps):
            mixed = (weights.unsqueeze(2) * stack).sum(dim=0)
            slope = (stack * (mixed.softmax(dim=1) - one_hot)).sum(dim=2)
            corner = F.one_hot(slope.argmin(dim=0), peers).T.to(stack.dtype)
            weights = weights + 2 / (step + 3) * (corner - weights)
        weights = torch.where(known, weights, 1 / peers)
    return (weights.unsqueeze(2) * stack).sum(dim=0)
