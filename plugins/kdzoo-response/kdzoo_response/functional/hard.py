"""The teacher's prediction as the label."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from kdzoo.api import Reduction, reduce
from kdzoo_response.functional.logits import pair


def hard_loss(student: Tensor, teacher: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Cross-entropy with the teacher's most likely class; Touvron et al. 2021, section 4.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the shapes differ, or the reduction is unknown.
    """
    student, teacher = pair(student, teacher)
    return reduce(F.cross_entropy(student, teacher.argmax(dim=1), reduction="none"), reduction)
