"""Logits on three levels: each sample, the batch, the classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kdzoo.api import softened_kl
from kdzoo_response.functional.logits import pair


def mlkd_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    instance: float = 1.0,
    batch: float = 1.0,
    classes: float = 1.0,
    temperatures: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0),
    masked: bool = False,
    standardize: bool = False,
) -> Tensor:
    """Three terms, each summed over several temperatures; Jin et al. 2023, section 3.

    With p the (B, K) probabilities at a temperature T: instance is T² · KL, a mean over samples; batch, the
    similarity of samples, is |p_t p_tᵀ - p_s p_sᵀ|² / B; classes, the similarity of classes, is |p_tᵀ p_t -
    p_sᵀ p_s|² / K.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        instance: weight of the first term, ≥ 0.
        batch: weight of the second term, ≥ 0.
        classes: weight of the third term, ≥ 0.
        temperatures: all > 0.
        masked: use only the half of the samples, and of the classes, on which the teacher is least confident.
        standardize: of the first term alone, standardise each row of logits to mean 0 and standard deviation 1
            first, as in the code of Sun et al. 2024.

    Returns:
        A scalar.

    Raises:
        ValueError: the shapes differ.
    """
    student, teacher = pair(student, teacher)
    divergent = pair(student, teacher, standardize)
    samples, columns = _masks(teacher) if masked else (1.0, 1.0)
    losses = []
    for temperature in temperatures:
        divergence = (samples * softened_kl(*divergent, temperature)).mean()
        ours, theirs = ((logits / temperature).softmax(dim=1) for logits in (student, teacher))
        alike = (samples * (ours @ ours.T - theirs @ theirs.T).square().sum(dim=1)).mean()
        together = (columns * (ours.T @ ours - theirs.T @ theirs).square().sum(dim=1)).mean()
        losses.append(instance * divergence + batch * alike + classes * together)
    return torch.stack(losses).sum()


def _masks(teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Masks (B,) and (K,) of the samples and classes whose teacher confidence is at most the median."""
    likely = teacher.detach().softmax(dim=1)
    surest, share = likely.amax(dim=1), likely.sum(dim=0)
    return (surest <= surest.median()).to(likely.dtype), (share <= share.median()).to(likely.dtype)
