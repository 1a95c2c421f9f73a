"""Where the evidence for each class is; Guo, Yan, Li and Lin 2023."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def class_maps(feature: Tensor, weight: Tensor) -> Tensor:
    """Class activation maps: what a linear classifier on the pooled map reads at each place.

    Args:
        feature: (B, C, H, W), the map that is averaged before the classifier.
        weight: (K, C), the classifier's.

    Returns:
        (B, K, H, W); its mean over height and width is the logits less the bias.
    """
    dtype = torch.promote_types(feature.dtype, torch.float32)
    return torch.einsum("bchw,kc->bkhw", feature.to(dtype), weight.to(dtype))


def class_attention_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    resolution: int = 2,
    form: Literal["paper", "code"] = "paper",
    reduction: Literal["none", "mean"] = "mean",
) -> Tensor:
    """Difference of class activation maps, pooled to a small grid.

    - ``"paper"``: each class's map scaled to unit length; the squared distance, averaged over classes
    - ``"code"``: maps as they are; the mean of squares over classes and places, as the authors' settings for
      distillation beside labels have it

    Args:
        student: (B, K, H, W) class maps.
        teacher: (B, K, H', W') class maps.
        resolution: side ≥ 1 of the grid; a map that is smaller keeps its size, and the other follows it.
        form: which of the two.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: batch or classes differ, or an option is unknown.
    """
    if student.ndim != 4 or teacher.ndim != 4 or student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            "class maps must be (B, K, H, W) with the same B and K, "
            f"not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    if resolution < 1:
        raise ValueError(f"resolution must be at least 1, not {resolution}")
    if form not in ("paper", "code"):
        raise ValueError(f"form must be 'paper' or 'code', not {form!r}")
    if reduction not in ("none", "mean"):
        raise ValueError(f"reduction must be 'none' or 'mean', not {reduction!r}")
    size = (
        min(resolution, student.shape[2], teacher.shape[2]),
        min(resolution, student.shape[3], teacher.shape[3]),
    )
    student, teacher = (
        F.adaptive_avg_pool2d(one.to(torch.promote_types(one.dtype, torch.float32)), size).flatten(2)
        for one in (student, teacher)
    )
    if form == "paper":
        difference = F.normalize(student, dim=2) - F.normalize(teacher, dim=2)
        loss = difference.square().sum(dim=2).mean(dim=1)
    else:
        loss = (student - teacher).square().mean(dim=(1, 2))
    return loss.mean() if reduction == "mean" else loss
