"""Soft labels with a weight per sample."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.api import Reduction, reduce
from kdzoo_response.functional.logits import cross_entropy, pair, standardized


def wsld_weight(student: Tensor, teacher: Tensor, target: Tensor | None) -> Tensor:
    """(B,) 1 - exp(-L_s / L_t), where L is the cross-entropy with the label; Zhou et al. 2021, section 4.

    Near 1 where the student is worse than the teacher, near 0 where it is better. No gradient flows through it.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        target: (B,) class ids or (B, K) probabilities. Without a label (None, a negative id, a row of zeros),
            the target is the teacher's most likely class.

    Raises:
        ValueError: the shapes do not fit.
    """
    student, teacher = pair(student.detach(), teacher.detach())
    label = _distribution(teacher, target)
    ours, theirs = (-(label * logits.log_softmax(dim=1)).sum(dim=1) for logits in (student, teacher))
    return -torch.expm1(-ours / (theirs + 1e-7))


def wsld_loss(
    student: Tensor,
    teacher: Tensor,
    target: Tensor | None,
    *,
    temperature: float = 4.0,
    standardize: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """Weight · T² · cross-entropy of the softened probabilities; Zhou et al. 2021, section 4.

    The weight is :func:`wsld_weight`.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        target: as for :func:`wsld_weight`.
        temperature: T > 0; the weights are computed at 1.
        standardize: standardise each row of logits to mean 0 and standard deviation 1 first (not for the
            weights).
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the shapes do not fit, or the reduction is unknown.
    """
    student, teacher = pair(student, teacher)
    weight = wsld_weight(student, teacher, target)
    if standardize:
        student, teacher = standardized(student), standardized(teacher)
    loss = cross_entropy(student / temperature, teacher / temperature)
    return reduce(weight * temperature**2 * loss, reduction)


def _distribution(teacher: Tensor, target: Tensor | None) -> Tensor:
    """(B, K) probabilities of the label."""
    classes = torch.arange(teacher.shape[1], device=teacher.device)
    predicted = teacher.argmax(dim=1)
    if target is not None and target.shape == teacher.shape:
        known = target.sum(dim=1, keepdim=True) > 0
        return torch.where(known, target.to(teacher.dtype), (predicted[:, None] == classes).to(teacher.dtype))
    if target is not None and target.shape != predicted.shape:
        raise ValueError(
            f"the target must be (B,) = {tuple(predicted.shape)} class ids or (B, K) = {tuple(teacher.shape)} "
            f"probabilities, not {tuple(target.shape)}"
        )
    true = predicted if target is None else torch.where(target < 0, predicted, target)
    return (true[:, None] == classes).to(teacher.dtype)
