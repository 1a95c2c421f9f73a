"""Losses that preserve a network's predictions for the old classes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from kdzoo.api import Reduction, at_least_float32, reduce


def lwf_loss(
    student: Tensor, previous: Tensor, temperature: float = 2.0, reduction: Reduction = "mean"
) -> Tensor:
    """Cross-entropy with the softened predictions of the earlier network, without temperature squared.

    Li and Hoiem 2016, equations 2 and 3: raising probabilities to 1/T and normalising them is the softmax of
    logits / T. Computed in at least float32; neither side is detached.

    Args:
        student: (B, K) logits of the K old classes.
        previous: (B, K) logits of the earlier network.
        temperature: > 0.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: shapes that differ.

    """
    _check(student, previous)
    log_p = functional.log_softmax(at_least_float32(student) / temperature, dim=1)
    loss = -(functional.softmax(at_least_float32(previous) / temperature, dim=1) * log_p).sum(1)
    return reduce(loss, reduction)


def sigmoid_distillation(student: Tensor, previous: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Binary cross-entropy of each old class with the earlier network's probability, summed over the classes.

    Rebuffi et al. 2017, algorithm 3, second term. Computed in at least float32; neither side is detached.

    Args:
        student: (B, K) logits of the K old classes.
        previous: (B, K) logits of the earlier network.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: shapes that differ.

    """
    _check(student, previous)
    loss = functional.binary_cross_entropy_with_logits(
        at_least_float32(student), at_least_float32(previous).sigmoid(), reduction="none"
    ).sum(1)
    return reduce(loss, reduction)


def _check(student: Tensor, previous: Tensor) -> None:
    if student.shape != previous.shape or student.ndim != 2:
        raise ValueError(
            f"logits must be (B, K) on both sides, not {tuple(student.shape)} and {tuple(previous.shape)}"
        )
