"""The loss between different architectures, with more weight on the target of a confident teacher."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from kdzoo.api import Reduction, choice, reduce
from kdzoo_response.functional.logits import pair, target_class


def ofa_loss(
    student: Tensor,
    teacher: Tensor,
    target: Tensor | None,
    *,
    gamma: float = 1.0,
    form: Literal["paper", "code"] = "paper",
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy with the teacher, with more weight on the target class; Hao et al. 2023, section 3.

    paper: -(1 + p_y)^γ log q_y - Σ_{c ≠ y} p_c log q_c, which includes the cross-entropy with the label.
    code: -[(1 + p_y)^γ - 1] log q_y - Σ_{c ≠ y} p_c^γ log q_c, to be added to a task loss. p is the teacher's
    softmax and q the student's, both at temperature 1.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        target: as for :func:`dkd_loss`; without a label, it is the teacher's most likely class. For a mixed label it
            is the largest class, and the cross-entropy in the paper's form is that with the mixed label.
        gamma: γ > 0; above 1 gives more weight to a target of which the teacher is confident.
        form: the paper's formula or that of the authors' code.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the shapes do not fit, or an option is unknown.
    """
    choice("form", form, ("paper", "code"))
    student, teacher = pair(student, teacher)
    true = target_class(teacher, target).unsqueeze(1)
    is_true = true == torch.arange(student.shape[1], device=student.device)
    likely = teacher.softmax(dim=1)
    if form == "code":
        weight = torch.where(is_true, (1 + likely).pow(gamma) - 1, likely.pow(gamma))
    else:
        weight = torch.where(is_true, (1 + likely).pow(gamma), likely)
        if target is not None and target.shape == student.shape:
            known = target.sum(dim=1, keepdim=True) > 0
            weight = weight + torch.where(known, target - is_true.to(target.dtype), 0.0)
    return reduce(-(weight * student.log_softmax(dim=1)).sum(dim=1), reduction)
