"""Contrastive losses between two networks' embeddings: Tian, Krishnan and Isola 2020."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import Reduction, at_least_float32, reduce
from kdzoo_relation.functional.vectors import check_embeddings, product, unit


def nce_loss(
    positive: Tensor,
    negative: Tensor,
    usable: Tensor,
    *,
    negatives: int,
    log_partition: Tensor | float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Noise-contrastive loss of one anchor against its positive and K negatives; Tian et al. 2020, equation 18.

    The critic h = exp(s) / (exp(s) + K Z / M), of scores s, with Z the mean of exp(s) over M samples times M,
    is a sigmoid of s - log K - log(Z / M). So the loss is that of a logistic regression, -log h of the
    positive and -log(1 - h) of the negatives, and needs no epsilon. The sum over K negatives is K times the
    mean over the usable ones of the N given.

    Args:
        positive: (B,) scores: inner products over the temperature.
        negative: (B, N) scores.
        usable: (B, N) bool: which of the N are negatives of this anchor; if none is, only the positive
            counts.
        negatives: K ≥ 1.
        log_partition: log(Z / M), a number or a tensor of one element.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: shapes that do not fit, or an unknown option.
    """
    if positive.ndim != 1 or negative.shape != usable.shape or negative.shape[:1] != positive.shape:
        raise ValueError(
            f"scores must be (B,) and (B, N) with a (B, N) mask, not {tuple(positive.shape)}, "
            f"{tuple(negative.shape)} and {tuple(usable.shape)}"
        )
    offset = math.log(negatives) + log_partition
    repelled = functional.softplus(at_least_float32(negative) - offset) * usable
    mean = repelled.sum(dim=1) / usable.sum(dim=1).clamp(min=1)
    return reduce(functional.softplus(offset - at_least_float32(positive)) + negatives * mean, reduction)


def info_nce_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    temperature: float = 0.07,
    ignored: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """InfoNCE within the batch: cross-entropy over cosines, student to teacher plus teacher to student.

    Args:
        student: (B, D) embeddings, of any length.
        teacher: (B, D) embeddings.
        temperature: > 0, divides the cosines.
        ignored: (B, B) bool, symmetric: pairs that are not used as negatives; the diagonal is always used.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the inputs are not two matrices of one shape, or an option is unknown.
    """
    check_embeddings(student, teacher)
    if student.shape != teacher.shape:
        raise ValueError(
            f"student and teacher embeddings must have one width, not {student.shape[1]} and {teacher.shape[1]}"
        )
    student, teacher = unit(student), unit(teacher)
    scores = product(student, teacher.T) / temperature
    partner = torch.arange(len(scores), device=scores.device)
    if ignored is not None:
        itself = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
        scores = scores.masked_fill(ignored & ~itself, -math.inf)
    loss = functional.cross_entropy(scores, partner, reduction="none") + functional.cross_entropy(
        scores.T, partner, reduction="none"
    )
    return reduce(loss, reduction)
