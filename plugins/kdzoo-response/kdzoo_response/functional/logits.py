"""What the losses share: checking and promoting logits, the target class, divergences."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.api import at_least_float32


def standardized(logits: Tensor) -> Tensor:
    """Each row with mean 0 and standard deviation 1; Sun et al. 2024, section 4.

    This is the sample standard deviation (divided by K - 1) plus 1e-7, as in the authors' code: a row of
    equal logits becomes zeros.

    Args:
        logits: (B, K), K of at least 2.
    """
    logits = at_least_float32(logits)
    centred = logits - logits.mean(dim=1, keepdim=True)
    return centred / (logits.std(dim=1, keepdim=True) + 1e-7)


def pair(student: Tensor, teacher: Tensor, standardize: bool = False) -> tuple[Tensor, Tensor]:
    """Both logits in at least float32, standardised on request.

    Raises:
        ValueError: the shapes differ or are not (B, K).
    """
    if student.ndim != 2 or student.shape != teacher.shape:
        raise ValueError(
            f"student and teacher logits must both be (B, K), not {tuple(student.shape)} "
            f"and {tuple(teacher.shape)}"
        )
    if standardize:
        return standardized(student), standardized(teacher)
    return at_least_float32(student), at_least_float32(teacher)


def target_class(teacher: Tensor, target: Tensor | None) -> Tensor:
    """(B,) class ids: the label, the largest class of a mixed label, else the teacher's most likely class.

    Args:
        teacher: (B, K) logits.
        target: (B,) class ids or (B, K) probabilities. No label: None, a negative id, a row of zeros.

    Raises:
        ValueError: a target of another shape.
    """
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


def other_classes(true: Tensor, classes: int) -> Tensor:
    """(B, K - 1), the ids of each sample's classes other than its ``true`` one, (B,)."""
    others = torch.arange(classes - 1, device=true.device).expand(len(true), -1)
    return others + (others >= true.unsqueeze(1))


def kl(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher ‖ student) per sample. Both are log-probabilities: no logarithm of an underflow."""
    return F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)


def cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """(B,) cross-entropy of the student's softmax with the teacher's; both are (B, N) logits."""
    return -(teacher.softmax(dim=1) * student.log_softmax(dim=1)).sum(dim=1)
