"""A temperature learned adversarially."""

from __future__ import annotations

from torch import Tensor

from kdzoo.api import Reduction, reduce, softened_kl
from kdzoo_response.functional.logits import pair


def reversed_gradient(tensor: Tensor, strength: float) -> Tensor:
    """The identity, whose gradient is multiplied by ``-strength``."""
    fixed = tensor.detach()
    return fixed - strength * (tensor - fixed)


def ctkd_loss(
    student: Tensor,
    teacher: Tensor,
    temperature: Tensor,
    *,
    standardize: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """:func:`kd_loss` at a temperature that receives gradient, with the factor T²; Li et al. 2023, section 3.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        temperature: a scalar, or (B, 1), > 0.
        standardize: standardise each row of logits to mean 0 and standard deviation 1 first (Sun et al.
            2024).
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the shapes differ, or the reduction is unknown.
    """
    student, teacher = pair(student, teacher, standardize)
    loss = softened_kl(student / temperature, teacher / temperature)
    return reduce((temperature.square() * loss.unsqueeze(1)).squeeze(1), reduction)
