"""Herding, the selection of exemplars: Rebuffi, Kolesnikov, Sperl and Lampert 2017."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import at_least_float32


def herd(features: Tensor, count: int) -> Tensor:
    """Select samples one by one so that the mean of the selected ones stays closest to the mean of all.

    Rebuffi et al. 2017, algorithm 4. Each sample is selected at most once. The first m of the result are the
    selection for m, so that a memory shrinks by truncating lists.

    Args:
        features: (n, D); normalised to unit length by this function.
        count: number of samples; all, if there are fewer.

    Returns:
        (min(count, n),) int64 positions, in order of importance.

    """
    features = functional.normalize(at_least_float32(features), dim=1)
    mean, total = features.mean(0), features.new_zeros(features.shape[1])
    free = torch.zeros(len(features), dtype=features.dtype, device=features.device)
    order = []
    for number in range(1, min(count, len(features)) + 1):
        distance = (mean - (total + features) / number).norm(dim=1) + free
        best = distance.argmin()
        order.append(best)
        total = total + features[best]
        free[best] = torch.inf
    return torch.stack(order) if order else torch.zeros(0, dtype=torch.int64, device=features.device)


def class_mean(features: Tensor) -> Tensor:
    """(D,), the mean of (n, D) features of unit length, itself scaled to unit length (algorithm 1)."""
    features = functional.normalize(at_least_float32(features), dim=1)
    return functional.normalize(features.mean(0), dim=0)
