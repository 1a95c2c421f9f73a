"""Another sample of the same class: Yun, Park, Lee and Shin 2020."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_same_class(index: Tensor, labels: Tensor, drawn: Tensor) -> Tensor:
    """For each sample, a uniformly drawn training sample with the same label; itself if it has no label.

    Args:
        index: (B,) int64 rows of ``labels``.
        labels: (rows,) int64 class ids, negative where withheld.
        drawn: (B,) uniform numbers in [0, 1).

    Returns:
        (B,) int64 rows.

    Raises:
        ValueError: shapes that do not fit.

    """
    if index.ndim != 1 or labels.ndim != 1 or drawn.shape != index.shape:
        raise ValueError(
            f"index and drawn must be (B,), labels (rows,), not {tuple(index.shape)}, {tuple(drawn.shape)} and "
            f"{tuple(labels.shape)}"
        )
    rows = labels.argsort(stable=True)
    ordered = labels[rows]
    own = labels[index]
    first = torch.searchsorted(ordered, own)
    count = torch.searchsorted(ordered, own, right=True) - first
    chosen = first + (drawn * count).long().clamp(max=count - 1)
    return torch.where(own < 0, index, rows[chosen])
