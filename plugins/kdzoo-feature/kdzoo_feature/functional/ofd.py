"""Margins and partial distance of the overhaul of feature distillation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdzoo.api import Reduction, at_least_float32, reduce
from kdzoo_feature.functional.maps import matched


def batch_norm_margin(weight: Tensor, bias: Tensor) -> Tensor:
    """The mean of the negative outputs of a BatchNorm channel: E[x | x < 0] of N(bias, weight²).

    The margin of Heo et al. 2019 (their margin ReLU) in closed form: ``bias - |weight| φ(a) / Φ(-a)`` with
    ``a = bias / |weight|``. Where less than a thousandth of the values are negative, it is ``-3 |weight|``,
    as in the authors' code, since the closed form is numerically unstable there.

    Args:
        weight: (C,), the scale.
        bias: (C,), the shift.

    Returns:
        (C,) margins, <= 0.

    Raises:
        ValueError: shapes that differ.
    """
    if weight.shape != bias.shape or weight.ndim != 1:
        raise ValueError(f"weight and bias must be (C,), not {tuple(weight.shape)} and {tuple(bias.shape)}")
    weight, bias = at_least_float32(weight).abs(), at_least_float32(bias)
    # A channel with weight 0 outputs its shift.
    standard = bias / weight.clamp(min=torch.finfo(weight.dtype).tiny)
    negative = torch.special.ndtr(-standard)
    density = torch.exp(-0.5 * standard.square()) / math.sqrt(2 * math.pi)
    mean = bias - weight * density / negative.clamp(min=1e-3)
    return torch.where(negative > 1e-3, mean, -3 * weight)


def ofd_loss(student: Tensor, teacher: Tensor, margin: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Partial squared distance between pre-activations: Heo et al. 2019, margin ReLU and partial L2.

    The teacher's values below the margin are raised to it. For a negative target, the student must only be no
    greater: where student <= target <= 0, the loss is 0. Where the maps differ in height or width, the larger
    is average-pooled to the smaller, after the margin.

    Args:
        student: (B, C, H, W), before the activation, already mapped to the teacher's channels.
        teacher: (B, C, H', W'), before the activation.
        margin: (C,), <= 0.
        reduction: ``"none"`` for (B,) sums over a map, ``"mean"`` for their mean over the batch.

    Raises:
        ValueError: shapes that do not fit, or an unknown reduction.
    """
    if margin.shape != teacher.shape[1:2]:
        raise ValueError(
            f"margin must be ({teacher.shape[1]},), one for each channel, not {tuple(margin.shape)}"
        )
    target = torch.maximum(at_least_float32(teacher), at_least_float32(margin)[:, None, None])
    student, target = matched(student, target)
    counts = (student > target) | (target > 0)
    loss = torch.where(counts, (student - target).square(), 0.0).sum(dim=(1, 2, 3))
    return reduce(loss, reduction)
