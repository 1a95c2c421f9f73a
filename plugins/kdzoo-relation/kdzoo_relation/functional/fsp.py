"""The flow from one stage to the next as a Gramian: Yim, Joo, Bae and Kim 2017."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import Reduction, at_least_float32, choice, reduce
from kdzoo_relation.functional.vectors import check_maps, product

Form = Literal["paper", "code"]


def fsp_matrix(shallow: Tensor, deep: Tensor, *, pool: Literal["max", "average"] = "max") -> Tensor:
    """Inner products of two stages' channels over the positions, divided by their number; equation 1.

    Where the stages differ in height or width, the larger is pooled to the smaller.

    Args:
        shallow: (B, C, H, W).
        deep: (B, C', H', W').
        pool: how the larger is pooled.

    Returns:
        (B, C, C').

    Raises:
        ValueError: ``pool`` is unknown.
    """
    choice("pool", pool, ("max", "average"))
    size = min(shallow.shape[2], deep.shape[2]), min(shallow.shape[3], deep.shape[3])
    pooled = functional.adaptive_max_pool2d if pool == "max" else functional.adaptive_avg_pool2d
    shallow, deep = (
        (one if one.shape[2:] == size else pooled(one, size)).flatten(2)
        for one in (at_least_float32(shallow), at_least_float32(deep))
    )
    return product(shallow, deep.mT) / shallow.shape[2]


def fsp_loss(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    *,
    form: Form = "paper",
    reduction: Reduction = "mean",
) -> Tensor:
    """Distance of the FSP matrices of consecutive stages, summed over the pairs; Yim et al. 2017, equation 2.

    - ``"paper"``: larger maps are max-pooled; the squared Frobenius norm, every pair with weight 1.
    - ``"code"``: as in the common benchmark code: larger maps are average-pooled; the mean of the squares.

    Args:
        student: two or more stages (B, C_i, H, W), shallow to deep.
        teacher: as many stages (B, C_i, H', W').
        form: see above.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: fewer than two stages, stages that do not pair up, or an unknown option.
    """
    choice("form", form, ("paper", "code"))
    if len(student) < 2 or len(student) != len(teacher):
        raise ValueError(
            f"student and teacher must show the same two or more stages, not {len(student)} and {len(teacher)}"
        )
    for ours, theirs in zip(student, teacher, strict=True):
        check_maps(ours, theirs)
    pool: Literal["max", "average"] = "max" if form == "paper" else "average"
    losses = []
    for flow, wanted in zip(pairwise(student), pairwise(teacher), strict=True):
        squares = (fsp_matrix(*flow, pool=pool) - fsp_matrix(*wanted, pool=pool)).square().flatten(1)
        losses.append(squares.sum(dim=1) if form == "paper" else squares.mean(dim=1))
    return reduce(torch.stack(losses).sum(dim=0), reduction)
