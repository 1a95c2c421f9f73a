"""Cutout as FixMatch's authors have it in PyTorch: a grey square about a random point, cut at the border.

DeVries and Taylor 2017, arXiv 1708.04552; Sohn et al. 2020, arXiv 2001.07685, appendix D.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.counter_rng import draws, uniform

LARGEST = 0.5
"""Of the image's width."""

_COLOUR = (125, 123, 114)
_LUMA = 123
DRAWS = 3


def cutout(images: Tensor, seeded: int, index: Tensor, first: int) -> Tensor:
    """Fill a square of each image, as wide as a random part of the image up to :data:`LARGEST`.

    Args:
        images: (B, C, H, W) in [0, 1].
        seeded: key of the draws.
        index: (B,) the samples, which the draws depend on.
        first: number of the first of its :data:`DRAWS` draws.
    """
    channels, height, width = images.shape[1:]
    side, x, y = uniform(draws(seeded, index, range(first, first + DRAWS))).to(torch.float64)
    side = side * LARGEST * width
    inside = _between(y * height, side, height)[:, :, None] & _between(x * width, side, width)[:, None]
    colour = images.new_tensor(_COLOUR if channels == len(_COLOUR) else [_LUMA] * channels) / 255
    return torch.where(inside[:, None], colour[:, None, None], images)


def _between(centre: Tensor, side: Tensor, length: int) -> Tensor:
    """Which pixels of a row (B, length) Pillow fills: from a whole pixel on, over ``side``, the last included."""
    begin = (centre - side / 2).clamp(min=0).floor()
    pixel = torch.arange(length, device=centre.device)
    return (pixel >= begin[:, None]) & (pixel <= (begin + side)[:, None].floor()) & (side > 0)[:, None]
