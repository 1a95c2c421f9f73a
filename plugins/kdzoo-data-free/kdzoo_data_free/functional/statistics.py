"""Moments of features, and their distance from a BatchNorm layer's running statistics."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from kdzoo.api import at_least_float32


def channel_moments(feature: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel over samples and positions, in at least float32.

    Args:
        feature: (B, C, ...), such as (B, C, H, W).

    Returns:
        Two tensors (C,).

    """
    feature = at_least_float32(feature)
    over = [0, *range(2, feature.ndim)]
    var, mean = torch.var_mean(feature, dim=over, correction=0)
    return mean, var


def statistics_loss(pairs: Iterable[tuple[Tensor, Tensor, Tensor, Tensor]]) -> Tensor:
    r"""Distance of a batch's moments from running statistics (Yin et al. 2020, equation 4).

    .. math:: \sum_l \lVert \mu_l - \hat\mu_l \rVert_2 + \lVert \sigma^2_l - \hat\sigma^2_l \rVert_2

    Norms, not squares, so that layers with large features do not dominate. The gradient at equal moments is
    zero.

    Args:
        pairs: for each layer (mean, var, running mean, running var), each (C,).

    Returns:
        A scalar, 0 or more.

    Raises:
        ValueError: no layer.

    """
    terms = [
        torch.linalg.vector_norm(mean - remembered_mean) + torch.linalg.vector_norm(var - remembered_var)
        for mean, var, remembered_mean, remembered_var in pairs
    ]
    if not terms:
        raise ValueError("the statistics of no layer were given")
    return torch.stack(terms).sum()
