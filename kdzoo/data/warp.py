"""Affine operations of automatic augmentation on 8-bit pixels: rotate, shear, translate, with Pillow's directions.

Each takes images (B, C, H, W) uint8, a number for each image (B,), what lies outside the image (0 to 255) and how to
sample (``bilinear`` or ``nearest``), and returns uint8.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def rotate(images: Tensor, degrees: Tensor, fill: int, mode: str) -> Tensor:
    """Turn counterclockwise about the centre."""
    height, width = images.shape[2:]
    angle = torch.deg2rad(degrees.to(torch.float64))
    cos, sin = angle.cos(), angle.sin()
    x, y = width / 2, height / 2
    return _warp(images, (cos, -sin, x - cos * x + sin * y), (sin, cos, y - sin * x - cos * y), fill, mode)


def shear_x(images: Tensor, factor: Tensor, fill: int, mode: str) -> Tensor:
    """Shift each row to the left by ``factor`` times its distance from the top."""
    return _warp(images, (1, factor, 0), (0, 1, 0), fill, mode)


def shear_y(images: Tensor, factor: Tensor, fill: int, mode: str) -> Tensor:
    """Shift each column upwards by ``factor`` times its distance from the left."""
    return _warp(images, (1, 0, 0), (factor, 1, 0), fill, mode)


def translate_x(images: Tensor, pixels: Tensor, fill: int, mode: str) -> Tensor:
    """Shift to the left."""
    return _warp(images, (1, 0, pixels), (0, 1, 0), fill, mode)


def translate_y(images: Tensor, pixels: Tensor, fill: int, mode: str) -> Tensor:
    """Shift upwards."""
    return _warp(images, (1, 0, 0), (0, 1, pixels), fill, mode)


_Row = tuple[Tensor | float, Tensor | float, Tensor | float]


def _warp(images: Tensor, across: _Row, down: _Row, fill: int, mode: str) -> Tensor:
    """Sample at x' = a x + b y + c and y' likewise, for each pixel's centre (x, y).

    Written out element by element: the rounding of a matrix product may depend on the batch.
    """
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device, dtype=torch.float64) + 0.5
    y = (torch.arange(height, device=images.device, dtype=torch.float64) + 0.5)[:, None]
    grid = torch.empty(len(images), height, width, 2, device=images.device)
    for axis, (row, length) in enumerate(((across, width), (down, height))):
        a, b, c = (
            torch.as_tensor(one, dtype=torch.float64, device=images.device).view(-1, 1, 1) for one in row
        )
        along, beside = (a * x + c) * (2 / length) - 1, b * y * (2 / length)
        grid[..., axis] = along.to(torch.float32) + beside.to(torch.float32)
    shown = F.grid_sample(images.to(torch.float32).sub_(fill), grid, mode, align_corners=False)
    return shown.add_(fill).round_().clamp_(0, 255).to(torch.uint8)
