"""The loss of masked generative distillation, and its mask."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from kdzoo.api import Reduction, choice, reduce
from kdzoo_feature.functional.maps import matched

Mask = Literal["pixels", "channels"]


def random_mask(feature: Tensor, ratio: float, over: Mask, generator: torch.Generator | None) -> Tensor:
    """Zeros and ones that broadcast to ``feature``; Yang et al. 2022, equation 3.

    Args:
        feature: (B, C, H, W), of which only shape, device and dtype are used.
        ratio: in [0, 1), the probability of a zero.
        over: ``"pixels"`` for (B, 1, H, W), ``"channels"`` for (B, C, 1, 1).
        generator: on the feature's device; None for torch's own.

    Raises:
        ValueError: ``over`` is unknown.
    """
    choice("over", over, ("pixels", "channels"))
    batch, channels, height, width = feature.shape
    shape = (batch, 1, height, width) if over == "pixels" else (batch, channels, 1, 1)
    draw = torch.rand(shape, generator=generator, device=feature.device)
    return (draw >= ratio).to(feature.dtype)


def generation_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    form: Literal["sum", "mean"] = "sum",
    reduction: Reduction = "mean",
) -> Tensor:
    """Squared difference of the generated map and the teacher's; Yang et al. 2022, equation 5.

    Where the maps differ in height or width, the larger is average-pooled to the smaller.

    Args:
        student: (B, C, H, W), generated from the student's masked map.
        teacher: (B, C, H', W').
        form: ``"sum"`` over channels and pixels, as in the paper, or their ``"mean"``.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: batch or channels differ, or the reduction or form is unknown.
    """
    choice("form", form, ("sum", "mean"))
    student, teacher = matched(student, teacher)
    squares = (student - teacher).square()
    return reduce(squares.sum(dim=(1, 2, 3)) if form == "sum" else squares.mean(dim=(1, 2, 3)), reduction)
