"""Spatial attention maps; Zagoruyko and Komodakis 2017. The numbers of channels may differ."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.api import Reduction, at_least_float32, choice, pool_to_smaller, reduce


def attention_map(feature: Tensor, *, power: float = 2.0) -> Tensor:
    """The mean over channels of |activation|^power, scaled to unit length per sample.

    Args:
        feature: (B, C, H, W).
        power: p ≥ 1; a higher one emphasises the strongest activations.

    Returns:
        (B, H · W), each row of Euclidean norm 1.
    """
    feature = at_least_float32(feature)
    return F.normalize(feature.abs().pow(power).mean(dim=1).flatten(1), dim=1)


def attention_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    power: float = 2.0,
    form: Literal["paper", "code"] = "paper",
    reduction: Reduction = "mean",
) -> Tensor:
    """Difference of the attention maps q of one stage; Zagoruyko and Komodakis 2017, equation 2.

    The paper weights a stage by β/2 with β = 1000 / (number of elements of the map), the authors' code
    weights a mean of squares by 1000. Both forms below need the same overall weight of 1000:

    - ``"paper"``: ½ ‖q_s − q_t‖₂ / (H · W)
    - ``"code"``: ‖q_s − q_t‖₂² / (H · W)

    Where the maps differ in height or width, the larger feature map is average-pooled to the smaller first.

    Args:
        student: (B, C, H, W).
        teacher: (B, C', H', W').
        power: p ≥ 1 of :func:`attention_map`.
        form: see above.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the inputs are not two maps of the same batch, or an option is unknown.
    """
    if student.ndim != 4 or teacher.ndim != 4 or student.shape[0] != teacher.shape[0]:
        raise ValueError(
            "student and teacher maps must be (B, C, H, W) with the same B, "
            f"not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    choice("form", form, ("paper", "code"))
    student, teacher = pool_to_smaller(at_least_float32(student), at_least_float32(teacher))
    difference = attention_map(student, power=power) - attention_map(teacher, power=power)
    loss: Tensor
    if form == "paper":
        loss = torch.linalg.vector_norm(difference, dim=1) / (2 * difference.shape[1])
    else:
        loss = difference.square().mean(dim=1)
    return reduce(loss, reduction)
