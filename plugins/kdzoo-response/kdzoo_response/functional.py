"""Response-based losses as pure functions of logits, student before teacher.

They take any floating dtype and compute in float32 at least. Neither side is detached: run the teacher under
``torch.no_grad`` where it should not learn.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def kd_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    temperature: float = 4.0,
    reduction: Literal["none", "mean"] = "mean",
) -> Tensor:
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)); Hinton et al. 2014, section 2.

    T² keeps the gradient's size about the same whatever the temperature.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        temperature: T > 0.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the shapes differ, or the reduction is unknown.
    """
    student, teacher = _logits(student, teacher)
    loss = _kl(F.log_softmax(student / temperature, dim=1), F.log_softmax(teacher / temperature, dim=1))
    return _reduce(temperature**2 * loss, reduction)


def dkd_loss(
    student: Tensor,
    teacher: Tensor,
    target: Tensor | None,
    *,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
    reduction: Literal["none", "mean"] = "mean",
) -> Tensor:
    """T² · (α · TCKD + β · NCKD); Zhao et al. 2022, section 3.

    TCKD is the KL divergence between the two-way distributions (target class, all the others). NCKD is the
    one between the distributions over the classes that are not the target. Both are computed in log space, so
    that a teacher or a student that is certain gives neither -inf nor NaN.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        target: (B,) class ids, or (B, K) class probabilities, of which the largest counts. Where there is no
            label (None, a negative id, a row of zeros) the teacher's most likely class stands in for it.
        alpha: weight of TCKD, ≥ 0.
        beta: weight of NCKD, ≥ 0.
        temperature: T > 0.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the shapes do not fit, or the reduction is unknown.
    """
    student, teacher = _logits(student, teacher)
    true = _target_class(teacher, target).unsqueeze(1)
    others = torch.arange(student.shape[1] - 1, device=student.device).expand(student.shape[0], -1)
    others = others + (others >= true)
    student_two, student_rest = _decouple(student / temperature, true, others)
    teacher_two, teacher_rest = _decouple(teacher / temperature, true, others)
    loss = alpha * _kl(student_two, teacher_two) + beta * _kl(student_rest, teacher_rest)
    return _reduce(temperature**2 * loss, reduction)


def _decouple(logits: Tensor, true: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """The log-probabilities (target, rest) as (B, 2), and those among the rest as (B, K - 1)."""
    rest = logits.gather(1, others)
    two = torch.cat([logits.gather(1, true), rest.logsumexp(dim=1, keepdim=True)], dim=1)
    return F.log_softmax(two, dim=1), F.log_softmax(rest, dim=1)


def _target_class(teacher: Tensor, target: Tensor | None) -> Tensor:
    predicted = teacher.detach().argmax(dim=1)
    if target is None:
        return predicted
    if target.shape == predicted.shape:
        return torch.where(target < 0, predicted, target)
    if target.shape == teacher.shape:
        return torch.where(target.sum(dim=1) > 0, target.argmax(dim=1), predicted)
    raise ValueError(
        f"the target must be (B,) = {tuple(predicted.shape)} class ids or (B, K) = {tuple(teacher.shape)} "
        f"probabilities, not {tuple(target.shape)}"
    )


def _logits(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    if student.ndim != 2 or student.shape != teacher.shape:
        raise ValueError(
            f"student and teacher logits must both be (B, K), not {tuple(student.shape)} "
            f"and {tuple(teacher.shape)}"
        )
    return _wide(student), _wide(teacher)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _kl(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher ‖ student) of log-probabilities, per sample. Logs on both sides: no log of an underflow."""
    return F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    if reduction not in ("none", "mean"):
        raise ValueError(f"reduction must be 'none' or 'mean', not {reduction!r}")
    return loss.mean() if reduction == "mean" else loss
