"""Softened logits."""

from __future__ import annotations

from torch import Tensor

from kdzoo.api import Reduction, reduce, softened_kl
from kdzoo_response.functional.logits import pair


def kd_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    temperature: float = 4.0,
    standardize: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)); Hinton et al. 2014, section 2.

    The factor T² keeps the size of the gradient roughly independent of the temperature.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        temperature: T > 0.
        standardize: standardise each row of logits to mean 0 and standard deviation 1 first (Sun et al.
            2024).
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the shapes differ, or the reduction is unknown.
    """
    student, teacher = pair(student, teacher, standardize)
    return reduce(softened_kl(student, teacher, temperature), reduction)
