"""Class activation maps and their difference; Guo, Yan, Li and Lin 2023."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.api import Reduction, at_least_float32, choice, reduce


def class_maps(feature: Tensor, weight: Tensor) -> Tensor:
    """Class activation maps: the linear classifier of the pooled map, applied at each position.

    Args:
        feature: (B, C, H, W), the map that is averaged before the classifier.
        weight: (K, C), the classifier's.

    Returns:
        (B, K, H, W); its mean over height and width is the logits minus the bias.
    """
    dtype = at_least_float32(feature.dtype)
    return torch.einsum("bchw,kc->bkhw", feature.to(dtype), weight.to(dtype))


def class_attention_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    resolution: int = 2,
    form: Literal["paper", "code"] = "paper",
    reduction: Reduction = "mean",
) -> Tensor:
    """Difference of class activation maps, pooled to a small grid.

    - ``"paper"``: each class's map is scaled to unit length; the squared distance, averaged over classes
    - ``"code"``: maps are not scaled; the mean of squares over classes and positions, as in the authors'
    settings with labels

    Args:
        student: (B, K, H, W) class maps.
        teacher: (B, K, H', W') class maps.
        resolution: side ≥ 1 of the grid; a map that is smaller keeps its size, and the other follows it.
        form: see above.
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
    choice("form", form, ("paper", "code"))
    size = (
        min(resolution, student.shape[2], teacher.shape[2]),
        min(resolution, student.shape[3], teacher.shape[3]),
    )
    student, teacher = (
        F.adaptive_avg_pool2d(at_least_float32(one), size).flatten(2) for one in (student, teacher)
    )
    if form == "paper":
        difference = F.normalize(student, dim=2) - F.normalize(teacher, dim=2)
        loss = difference.square().sum(dim=2).mean(dim=1)
    else:
        loss = (student - teacher).square().mean(dim=(1, 2))
    return reduce(loss, reduction)
