"""Weights of the classes in the task loss."""

from __future__ import annotations

import torch
from torch import Tensor


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """(K,) float32: the inverse of each class's number of labels, with mean 1 over the labelled samples.

    A class without any has weight 1.

    Args:
        labels: (n,) class ids, negative where there is none.
        classes: K.

    """
    counts = torch.bincount(labels[labels >= 0], minlength=classes)
    present = counts > 0
    weights = counts.sum() / (present.sum().clamp(min=1) * counts.clamp(min=1))
    return torch.where(present, weights, torch.ones_like(weights)).float()
