"""Correlation of probabilities, between classes and between samples."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo_response.functional.logits import pair


def dist_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    beta: float = 1.0,
    gamma: float = 1.0,
    temperature: float = 1.0,
    standardize: bool = False,
) -> Tensor:
    """T² · (β · inter + γ · intra), each one minus a mean Pearson correlation; Huang et al. 2022, section 4.

    Inter: over the classes of each sample. Intra: over the samples of each class, so that the loss depends on
    the composition of the batch. Correlations ignore scale and shift.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        beta: weight of the inter-class part, ≥ 0.
        gamma: weight of the intra-class part, ≥ 0; a batch of one sample has no such correlation, and no gradient.
        temperature: T > 0.
        standardize: standardise each row of logits to mean 0 and standard deviation 1 first (Sun et al.
            2024).

    Returns:
        A scalar.

    Raises:
        ValueError: the shapes differ.
    """
    ours, theirs = ((logits / temperature).softmax(dim=1) for logits in pair(student, teacher, standardize))
    inter = 1 - _pearson(ours, theirs, dim=1).mean()
    intra = 1 - _pearson(ours, theirs, dim=0).mean()
    return temperature**2 * (beta * inter + gamma * intra)


def _pearson(ours: Tensor, theirs: Tensor, dim: int) -> Tensor:
    """Correlation along ``dim``; zero, without gradient, where either side is constant."""
    ours, theirs = (one - one.mean(dim=dim, keepdim=True) for one in (ours, theirs))
    ours_size, theirs_size = (torch.linalg.vector_norm(one, dim=dim) for one in (ours, theirs))
    correlation: Tensor = (ours * theirs).sum(dim=dim) / (ours_size * theirs_size + 1e-8)
    return correlation
