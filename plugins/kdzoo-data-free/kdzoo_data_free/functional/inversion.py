"""Priors and augmentations of optimised images: Yin et al. 2020."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import at_least_float32


def total_variation(images: Tensor) -> Tensor:
    """Total variation: four Euclidean norms of differences of adjacent pixels, each over the whole batch; a scalar.

    The neighbours are those to the right, below, and on both diagonals. The paper (equation 3) only names the
    penalty; this is the form in the authors' code, to which their weights belong. For a constant batch the
    gradient is zero.

    Args:
        images: (B, C, H, W) in any range.
    """
    images = at_least_float32(images)
    right = images[..., :, :-1] - images[..., :, 1:]
    below = images[..., :-1, :] - images[..., 1:, :]
    falling = images[..., :-1, :-1] - images[..., 1:, 1:]
    rising = images[..., 1:, :-1] - images[..., :-1, 1:]
    return sum_of_norms([right, below, falling, rising])


def sum_of_norms(parts: Sequence[Tensor]) -> Tensor:
    """The sum of the Euclidean norms of some tensors of any shape; a scalar."""
    return torch.stack([torch.linalg.vector_norm(part) for part in parts]).sum()


def competition_loss(student: Tensor, teacher: Tensor, temperature: float = 3.0) -> Tensor:
    """1 - Jensen-Shannon divergence of the softened predictions, mean over the batch; a scalar in [1 - ln 2, 1].

    It is smallest where student and teacher disagree most (equations 8 and 9 of the paper).

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        temperature: divides both.
    """
    first = functional.log_softmax(at_least_float32(student) / temperature, dim=1)
    second = functional.log_softmax(at_least_float32(teacher) / temperature, dim=1)
    middle = torch.logaddexp(first, second) - torch.log(first.new_tensor(2.0))
    divergences = [(one.exp() * (one - middle)).sum(dim=1) for one in (first, second)]
    return 1 - torch.stack(divergences).sum(dim=0).mean() / 2


def rolled(images: Tensor, down: Tensor, right: Tensor, mirror: Tensor) -> Tensor:
    """Roll the whole batch by the same number of pixels, with wrap-around.

    The numbers stay on the device, so that the host never waits for it.

    Args:
        images: (B, C, H, W).
        down: () int64, rows to roll by.
        right: () int64, columns to roll by.
        mirror: () bool, whether to mirror horizontally.
    """
    height, width = images.shape[-2:]
    row = (torch.arange(height, device=images.device) - down) % height
    column = (torch.arange(width, device=images.device) - right) % width
    column = torch.where(mirror, width - 1 - column, column)
    return images.index_select(2, row).index_select(3, column)


def cropped(images: Tensor, down: Tensor, right: Tensor, mirror: Tensor) -> Tensor:
    """Shift each image by its own numbers of pixels, with black borders.

    Args:
        images: (B, C, H, W).
        down: (B,) int64, rows to shift by.
        right: (B,) int64, columns to shift by.
        mirror: (B,) bool, whether to mirror horizontally.
    """
    count, _, height, width = images.shape
    row = torch.arange(height, device=images.device) - down[:, None]
    column = torch.arange(width, device=images.device) - right[:, None]
    column = torch.where(mirror[:, None], width - 1 - column, column)
    inside = ((row >= 0) & (row < height))[:, :, None] & ((column >= 0) & (column < width))[:, None, :]
    which = torch.arange(count, device=images.device)[:, None, None]
    found = images[which, :, row.clamp(0, height - 1)[:, :, None], column.clamp(0, width - 1)[:, None, :]]
    return torch.where(inside[..., None], found, 0).permute(0, 3, 1, 2)
