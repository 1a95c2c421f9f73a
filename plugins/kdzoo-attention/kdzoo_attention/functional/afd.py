"""Attention maps of all pairs of stages, each pair weighted by a learned link; Ji, Heo and Park 2021."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.api import Reduction, at_least_float32, choice, reduce


def link_weights(queries: Tensor, keys: Tensor, bilinear: Tensor, positions: Tensor) -> Tensor:
    """The weight of the link from each teacher stage to each student stage.

    softmax over s of (q_t W_t k_s + p_t p_s) / √d.

    Args:
        queries: (B, T, d), one for each stage of the teacher.
        keys: (B, S, d), one for each stage of the student.
        bilinear: (T, d, d), W.
        positions: (T, S), the products of the stages' position vectors.

    Returns:
        (B, T, S); each row over S sums to 1.
    """
    dtype = at_least_float32(queries.dtype)
    queries, keys, bilinear = queries.to(dtype), keys.to(dtype), bilinear.to(dtype)
    scores = torch.einsum("btd,tde,bse->bts", queries, bilinear, keys) + positions
    return torch.softmax(scores / queries.shape[-1] ** 0.5, dim=-1)


def linked_attention_loss(
    students: Sequence[Tensor],
    teachers: Sequence[Tensor],
    links: Tensor,
    *,
    form: Literal["paper", "code"] = "paper",
    reduction: Reduction = "mean",
) -> Tensor:
    """Differences of the attention maps of all pairs of stages, weighted by ``links``.

    A map is the mean over channels of the squared activations, scaled to unit length; a student's map is
    resized to the teacher's size first. The difference of a pair, in two forms for the same overall weight:

    - ``"paper"``: ‖q_s − q_t‖₂ / (H · W)
    - ``"code"``: ‖q_s − q_t‖₂² / (H · W)

    Args:
        students: S maps (B, C, H, W), of any sizes and channels.
        teachers: T maps (B, C', H', W'), of any sizes and channels.
        links: (B, T, S).
        form: see above.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the shapes of maps and links do not fit, or an option is unknown.
    """
    if links.ndim != 3 or links.shape[1:] != (len(teachers), len(students)):
        raise ValueError(
            f"links must be (B, T, S) = (B, {len(teachers)}, {len(students)}), not {tuple(links.shape)}"
        )
    if any(one.ndim != 4 or one.shape[0] != links.shape[0] for one in (*students, *teachers)):
        raise ValueError("the maps of all stages must be (B, C, H, W) with the B of the links")
    choice("form", form, ("paper", "code"))
    energies = [_energy(one) for one in students]
    losses = []
    for teacher in map(_energy, teachers):
        target = F.normalize(teacher.flatten(1), dim=1).unsqueeze(1)
        sized = [_resized(one, teacher) for one in energies]
        difference = F.normalize(torch.stack(sized, dim=1), dim=2) - target  # (B, S, H * W)
        if form == "paper":
            losses.append(torch.linalg.vector_norm(difference, dim=2) / difference.shape[2])
        else:
            losses.append(difference.square().mean(dim=2))
    loss = (links * torch.stack(losses, dim=1)).sum(dim=(1, 2))
    return reduce(loss, reduction)


def _energy(feature: Tensor) -> Tensor:
    """(B, H, W), the mean over channels of the squared activations."""
    return at_least_float32(feature).square().mean(dim=1)


def _resized(energy: Tensor, like: Tensor) -> Tensor:
    """(B, H · W) at the size of ``like``: average-pooled to a smaller size, repeated to a larger one."""
    if energy.shape[1:] == like.shape[1:]:
        return energy.flatten(1)
    return F.adaptive_avg_pool2d(energy, (like.shape[1], like.shape[2])).flatten(1)
