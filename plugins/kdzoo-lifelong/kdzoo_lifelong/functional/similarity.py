"""Classification by cosines to several proxies of each class, and its loss: Douillard et al. 2020, section 3.2."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import at_least_float32


def local_similarity(embedding: Tensor, proxies: Tensor) -> Tensor:
    """For each class, the cosines to its proxies, averaged with their softmax as weights (equations 8 and 9).

    Computed in at least float32.

    Args:
        embedding: (B, D).
        proxies: (K, P, D), P for each class.

    Returns:
        (B, K) in [-1, 1].

    """
    embedding, proxies = (functional.normalize(at_least_float32(one), dim=-1) for one in (embedding, proxies))
    cosines = torch.einsum("bd,kpd->bkp", embedding, proxies)
    return (cosines.softmax(2) * cosines).sum(2)


def nca_loss(similarity: Tensor, target: Tensor, scale: Tensor | float, margin: float = 0.6) -> Tensor:
    """NCA loss with a margin for the right class; zero once the margin is reached (equation 10).

    ``max(0, -log(exp(s (y_c - m)) / sum over i != c of exp(s y_i)))``, the mean over the batch. Computed in
    at least float32.

    Args:
        similarity: (B, K), K >= 2.
        target: (B,) int64 columns.
        scale: s > 0.
        margin: m; subtracted from the right class only.

    """
    similarity = at_least_float32(similarity)
    right = functional.one_hot(target, similarity.shape[1]).bool()
    others = (scale * similarity).masked_fill(right, -torch.inf).logsumexp(1)
    own = scale * (similarity.gather(1, target[:, None])[:, 0] - margin)
    return (others - own).clamp(min=0).mean()
