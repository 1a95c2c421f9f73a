"""Gaussian blur, each image with a width of its own."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_WIDTHS = 3  # of the kernel on each side


def reach(largest_sigma: float) -> int:
    """Pixels on each side of the kernel for widths up to ``largest_sigma``."""
    return math.ceil(_WIDTHS * largest_sigma)


def blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Images (B, C, H, W) blurred by a Gaussian of standard deviation ``sigma`` (B,) pixels, mirrored at the border.

    A sum of shifted images rather than a convolution, whose rounding may depend on the batch.

    Args:
        images: floating-point numbers.
        sigma: positive.
        radius: of the kernel in pixels, at most the image's side less one.

    """
    for dimension in (2, 3):
        length = images.shape[dimension]
        around = min(radius, length - 1)
        offset = torch.arange(around + 1, device=images.device, dtype=torch.float64)
        bell = torch.exp(-0.5 * (offset / sigma.to(torch.float64)[:, None]) ** 2)
        weights = (bell / (2 * bell.sum(1, keepdim=True) - 1)).to(images.dtype)  # the centre counts once
        padding = (0, 0, around, around) if dimension == 2 else (around, around, 0, 0)
        framed = F.pad(images, padding, mode="reflect")
        parts = [framed.narrow(dimension, start, length) for start in range(2 * around + 1)]
        weight = weights[:, :, None, None, None].unbind(1)
        images = parts[around] * weight[0]
        for step in range(1, around + 1):
            images.add_((parts[around - step] + parts[around + step]).mul_(weight[step]))
    return images.clamp_(0, 1)
