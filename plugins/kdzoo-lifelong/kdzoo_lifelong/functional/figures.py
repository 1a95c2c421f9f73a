"""The field's summary figures of an accuracy matrix."""

from __future__ import annotations

import torch
from torch import Tensor


def seen_accuracy(matrix: Tensor, counts: Tensor) -> Tensor:
    """Accuracy after each task over the samples of all tasks so far.

    Args:
        matrix: (T, T); row i, column j is the accuracy in percent on task j after task i. Only j <= i is read.
        counts: (T,) test samples of each task.

    Returns:
        (T,) in percent.

    """
    known = torch.tril(torch.ones_like(matrix)) * counts.to(matrix.dtype)
    return (torch.nan_to_num(matrix) * known).sum(1) / known.sum(1)


def average_incremental(matrix: Tensor, counts: Tensor) -> Tensor:
    """Average incremental accuracy (Rebuffi et al. 2017, section 4): the mean of :func:`seen_accuracy`; a scalar."""
    return seen_accuracy(matrix, counts).mean()


def forgetting(matrix: Tensor) -> Tensor:
    """Best minus final accuracy in points, averaged over all tasks except the last.

    Chaudhry et al. 2018 (Riemannian Walk), section 3. Zero for one task.

    Args:
        matrix: (T, T) as in :func:`seen_accuracy`.

    """
    if len(matrix) < 2:
        return matrix.new_zeros(())
    best = torch.stack([matrix[j:-1, j].max() for j in range(len(matrix) - 1)])
    return (best - matrix[-1, :-1]).mean()


def backward_transfer(matrix: Tensor) -> Tensor:
    """Change of the accuracy on earlier tasks by later ones, in points; negative where they are forgotten.

    Lopez-Paz and Ranzato 2017 (GEM), equation 3. Zero for one task.

    Args:
        matrix: (T, T) as in :func:`seen_accuracy`.

    """
    if len(matrix) < 2:
        return matrix.new_zeros(())
    return (matrix[-1, :-1] - matrix.diagonal()[:-1]).mean()
