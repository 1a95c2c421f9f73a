"""Self-attention between the tokens of transformers; Wang et al. 2020 (MiniLM)."""

from __future__ import annotations

from math import isqrt
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.api import Reduction, at_least_float32, choice, reduce


def value_relations(values: Tensor) -> Tensor:
    """Relations between the values of all pairs of tokens, as in MiniLM.

    Args:
        values: (B, A, N, d), for A heads and N tokens.

    Returns:
        (B, A, N, N), softmax of v vᵀ / √d; each row sums to 1.
    """
    values = at_least_float32(values)
    return torch.softmax(values @ values.transpose(-2, -1) / values.shape[-1] ** 0.5, dim=-1)


def pool_tokens(attention: Tensor, side: int) -> Tensor:
    """Pool attention between the patches of a square grid to attention between the cells of a coarser one.

    Averages over the query patches of a cell, sums over the key patches.

    Args:
        attention: (B, A, N, N) with N a square number; rows of any positive sum.
        side: of the coarser grid, ≥ 1 and at most √N.

    Returns:
        (B, A, side², side²); each row sums to 1.

    Raises:
        ValueError: N is not a square number, or ``side`` is out of range.
    """
    batch, heads, tokens, _ = attention.shape
    before = isqrt(tokens)
    if before**2 != tokens or not 1 <= side <= before:
        raise ValueError(f"{tokens} tokens are no square grid that can be pooled to {side}x{side}")
    attention = at_least_float32(attention)
    for _ in range(2):  # the keys, then, transposed, the queries
        if side != before:
            rows = attention.shape[2]
            grid = attention.reshape(batch, heads * rows, before, before)
            attention = F.adaptive_avg_pool2d(grid, side).reshape(batch, heads, rows, side**2)
        attention = attention.transpose(2, 3)
    return F.normalize(attention, p=1.0, dim=3)


def token_attention_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    heads: Literal["auto", "match", "mean"] = "auto",
    reduction: Reduction = "mean",
) -> Tensor:
    """KL(teacher || student) of each token's attention, averaged over heads and tokens, as in MiniLM.

    Args:
        student: (B, A, N, N), each row a distribution over tokens.
        teacher: (B, A', N, N), the same.
        heads: ``"match"`` compares head by head, ``"mean"`` the averages over heads; ``"auto"`` matches where
            both have the same number.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: batch or tokens differ, heads cannot be matched, or an option is unknown.
    """
    if student.ndim != 4 or teacher.ndim != 4 or student.shape[2:] != teacher.shape[2:]:
        raise ValueError(
            "attention must be (B, A, N, N) with the same N on both sides, "
            f"not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    choice("heads", heads, ("auto", "match", "mean"))
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    if heads == "mean" or (heads == "auto" and student.shape[1] != teacher.shape[1]):
        student, teacher = student.mean(dim=1, keepdim=True), teacher.mean(dim=1, keepdim=True)
    if student.shape != teacher.shape:
        raise ValueError(
            f"heads can be matched between equal batches and numbers of heads only, not {tuple(student.shape)} "
            f"and {tuple(teacher.shape)}"
        )
    # Weights can underflow to zero; the clamp keeps logarithm and gradient finite.
    log_student = student.clamp(min=torch.finfo(student.dtype).tiny).log()
    loss = F.kl_div(log_student, teacher, reduction="none").sum(dim=3).mean(dim=(1, 2))
    return reduce(loss, reduction)
