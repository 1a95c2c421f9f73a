"""Feature maps of all pairs of layers, weighted by the similarity of their relations; Chen et al. 2021."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.api import Reduction, at_least_float32, choice, pool_to_smaller, reduce


def similarity_profiles(feature: Tensor, points: int = 64) -> Tensor:
    """Each sample's similarities to its batch, in a form that does not depend on the batch's order or size.

    A row of the cosine matrix of the flattened samples, sorted from the most similar (the sample itself) to
    the least and linearly interpolated at ``points`` equally spaced positions. Samples come in random order,
    so all information of a row is in its sorted values.

    Args:
        feature: (B, ...), B ≥ 1.
        points: ≥ 1.

    Returns:
        (B, points) in [-1, 1].
    """
    feature = at_least_float32(feature).flatten(1)
    unit = F.normalize(feature, dim=1)
    ranked = (unit @ unit.T).sort(dim=1, descending=True).values
    count = ranked.shape[1]
    where = torch.linspace(0, count - 1, points, dtype=ranked.dtype, device=ranked.device)
    order = torch.arange(count, dtype=ranked.dtype, device=ranked.device)
    return ranked @ (1 - (order.unsqueeze(1) - where).abs()).clamp(min=0)


def layer_attention(queries: Tensor, keys: Tensor) -> Tensor:
    """Attention of each layer of the student over the layers of the teacher.

    Args:
        queries: (B, S, d), one for each layer of the student.
        keys: (B, T, d), one for each layer of the teacher.

    Returns:
        (B, S, T); each row over T sums to 1.
    """
    dtype = at_least_float32(queries.dtype)
    return torch.softmax(queries.to(dtype) @ keys.to(dtype).transpose(1, 2), dim=-1)


def cross_layer_loss(
    projected: Sequence[Sequence[Tensor]],
    teachers: Sequence[Tensor],
    attention: Tensor,
    *,
    form: Literal["paper", "code"] = "code",
    reduction: Reduction = "mean",
) -> Tensor:
    """Mean squared differences of all pairs of layers, weighted by ``attention``.

    Args:
        projected: for each of S layers of the student its T maps (B, C', H, W), with the channels of the teacher's
            T layers; where sizes differ, the larger map of a pair is average-pooled to the smaller.
        teachers: T maps (B, C', H', W').
        attention: (B, S, T).
        form: ``"code"`` takes the mean over the student's layers, ``"paper"`` the sum.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the shapes of maps and attention do not fit, or an option is unknown.
    """
    if attention.shape[1:] != (len(projected), len(teachers)):
        raise ValueError(
            f"attention must be (B, S, T) = (B, {len(projected)}, {len(teachers)}), not {tuple(attention.shape)}"
        )
    choice("form", form, ("paper", "code"))
    rows = []
    for maps in projected:
        row = [_difference(ours, theirs) for ours, theirs in zip(maps, teachers, strict=True)]
        rows.append(torch.stack(row, dim=1))
    loss = (attention * torch.stack(rows, dim=1)).sum(dim=(1, 2))
    if form == "code":
        loss = loss / len(projected)
    return reduce(loss, reduction)


def _difference(student: Tensor, teacher: Tensor) -> Tensor:
    if student.ndim != 4 or student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            "a pair of maps must be (B, C, H, W) with the same B and C, "
            f"not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    student, teacher = pool_to_smaller(at_least_float32(student), at_least_float32(teacher))
    return (student - teacher).square().mean(dim=(1, 2, 3))
