"""Decoupled logits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.api import Reduction, reduce
from kdzoo_response.functional.logits import kl, other_classes, pair, target_class


def dkd_loss(
    student: Tensor,
    teacher: Tensor,
    target: Tensor | None,
    *,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
    standardize: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """T² · (α · TCKD + β · NCKD); Zhao et al. 2022, section 3.

    TCKD is the KL divergence between the two-way distributions (target class, all the others). NCKD is the
    one between the distributions over the non-target classes. Both are computed in log space, so that
    saturated softmaxes give neither -inf nor NaN.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        target: (B,) class ids, or (B, K) class probabilities, of which the largest is the target. Without a
            label (None, a negative id, a row of zeros), the target is the teacher's most likely class.
        alpha: weight of TCKD, ≥ 0.
        beta: weight of NCKD, ≥ 0.
        temperature: T > 0.
        standardize: standardise each row of logits to mean 0 and standard deviation 1 first (Sun et al.
            2024).
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the shapes do not fit, or the reduction is unknown.
    """
    student, teacher = pair(student, teacher, standardize)
    true = target_class(teacher, target)
    others = other_classes(true, student.shape[1])
    student_two, student_rest = _decouple(student / temperature, true, others)
    teacher_two, teacher_rest = _decouple(teacher / temperature, true, others)
    loss = alpha * kl(student_two, teacher_two) + beta * kl(student_rest, teacher_rest)
    return reduce(temperature**2 * loss, reduction)


def _decouple(logits: Tensor, true: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """The log-probabilities (target, rest) as (B, 2), and those among the rest as (B, K - 1)."""
    rest = logits.gather(1, others)
    two = torch.cat([logits.gather(1, true.unsqueeze(1)), rest.logsumexp(dim=1, keepdim=True)], dim=1)
    return F.log_softmax(two, dim=1), F.log_softmax(rest, dim=1)
