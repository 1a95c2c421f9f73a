"""The variational bound of VID."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.api import Reduction, at_least_float32, reduce
from kdzoo_feature.functional.maps import matched


def vid_loss(mean: Tensor, teacher: Tensor, variance: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Negative log-likelihood of the teacher's map under a Gaussian that the student predicts.

    The bound of Ahn et al. 2019 without its constant and as a mean over the elements of a map:
    ``(log variance + (teacher - mean)² / variance) / 2``. It may be negative. Where the maps differ in height or
    width, the larger is average-pooled to the smaller.

    Args:
        mean: (B, C, H, W), predicted from the student's map.
        teacher: (B, C, H', W').
        variance: (C,), > 0, the same for all positions of a channel.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: shapes that do not fit, or an unknown reduction.
    """
    mean, teacher = matched(mean, teacher)
    if variance.shape != mean.shape[1:2]:
        raise ValueError(
            f"variance must be ({mean.shape[1]},), one for each channel, not {tuple(variance.shape)}"
        )
    variance = at_least_float32(variance)[:, None, None]
    loss = 0.5 * (torch.log(variance) + (teacher - mean).square() / variance).mean(dim=(1, 2, 3))
    return reduce(loss, reduction)
