"""A temperature that is learned against the student."""

from __future__ import annotations

from torch import Tensor

from kdzoo.api import Reduction, reduce, softened_kl
from kdzoo_response.functional.logits import pair


def reversed_gradient(tensor: Tensor, strength: float) -> Tensor:
    """The same values; the gradient comes back times ``-strength``."""
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
    """:func:`kd_loss` at a temperature that is a tensor, with gradient to it, T² included; Li et al. 2023, section 3.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        temperature: a scalar, or (B, 1), > 0.
        standardize: bring each row of logits to mean 0 and deviation 1 first (Sun et al. 2024).
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the shapes differ, or the reduction is unknown.
    """
    student, teacher = pair(student, teacher, standardize)
    loss = softened_kl(student / temperature, teacher / temperature)
    return reduce((temperature.square() * loss.unsqueeze(1)).squeeze(1), reduction)
