"""The hierarchical context loss of ReviewKD."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import Reduction, reduce
from kdzoo_feature.functional.maps import matched

_LEVELS = (4, 2, 1)


def hcl_loss(student: Tensor, teacher: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Mean squared differences of two maps at several resolutions: hierarchical context loss, Chen et al. 2021.

    The maps are compared at full size and average-pooled to 4x4, 2x2 and 1x1, as far as these are smaller.
    The levels present have the weights 1, 1/2, 1/4 and 1/8 in this order, divided by their sum. Where the two
    maps differ in height or width, the larger is average-pooled to the smaller first.

    Args:
        student: (B, C, H, W).
        teacher: (B, C, H', W').
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: batch or channels differ, or the reduction is unknown.
    """
    student, teacher = matched(student, teacher)
    difference = student - teacher  # pooling is linear, so pool the difference instead of both maps
    levels = [difference]
    levels += [
        functional.adaptive_avg_pool2d(difference, level)
        for level in _LEVELS
        if level < min(difference.shape[2:])
    ]
    weights = [0.5**rank for rank in range(len(levels))]
    losses = [
        weight * level.square().mean(dim=(1, 2, 3)) for weight, level in zip(weights, levels, strict=True)
    ]
    loss = torch.stack(losses).sum(dim=0) / sum(weights)
    return reduce(loss, reduction)
