"""Correlations between the channels of one sample: Liu et al. 2021."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from kdzoo.api import Reduction, at_least_float32, choice, reduce
from kdzoo_relation.functional.vectors import check_maps, product, unit


def channel_correlations(feature: Tensor) -> Tensor:
    """Inner products of the channels' maps: (B, C, H, W) to (B, C, C)."""
    feature = at_least_float32(feature).flatten(2)
    return product(feature, feature.mT)


def ickd_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    form: Literal["code", "paper"] = "code",
    reduction: Reduction = "mean",
) -> Tensor:
    """Distance of the networks' channel correlations; Liu et al. 2021, section 3.2.

    - ``"code"``: each row of the correlations is scaled to unit length; the sum of squares over C.
    - ``"paper"``: the correlations unchanged; the sum of squares over C².

    The maps may differ in height and width: the correlations do not depend on positions.

    Args:
        student: (B, C, H, W).
        teacher: (B, C, H', W').
        form: see above.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the inputs are not two maps of one batch and one number of channels, or an option is unknown.
    """
    check_maps(student, teacher)
    choice("form", form, ("code", "paper"))
    ours, theirs = channel_correlations(student), channel_correlations(teacher)
    if form == "code":
        loss = (unit(ours) - unit(theirs)).square().sum(dim=2).mean(dim=1)
    else:
        loss = (ours - theirs).square().mean(dim=(1, 2))
    return reduce(loss, reduction)
