"""Affine operations of automatic augmentation on 8-bit pixels: rotate, shear, translate, with Pillow's directions.

Each takes images (B, C, H, W) uint8, a number for each image (B,), what lies outside the image (0 to 255) and how to
sample (``nearest``, ``bilinear`` or ``bicubic``), and returns uint8.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_Row = tuple[Tensor | float, Tensor | float, Tensor | float]
_ACROSS: _Row = (1, 0, 0)  # x' = x
_DOWN: _Row = (0, 1, 0)  # y' = y


def rotate(images: Tensor, degrees: Tensor, fill: int, mode: str) -> Tensor:
    """Turn counterclockwise about the centre."""
    height, width = images.shape[2:]
    angle = torch.deg2rad(degrees.to(torch.float64))
    cos, sin = angle.cos(), angle.sin()
    x, y = width / 2, height / 2
    return _warp(images, (cos, -sin, x - cos * x + sin * y), (sin, cos, y - sin * x - cos * y), fill, mode)


def shear_x(images: Tensor, factor: Tensor, fill: int, mode: str) -> Tensor:
    """Shift each row to the left by ``factor`` times its distance from the top."""
    return _warp(images, (1, factor, 0), _DOWN, fill, mode)


def shear_y(images: Tensor, factor: Tensor, fill: int, mode: str) -> Tensor:
    """Shift each column upwards by ``factor`` times its distance from the left."""
    return _warp(images, _ACROSS, (factor, 1, 0), fill, mode)


def translate_x(images: Tensor, pixels: Tensor, fill: int, mode: str) -> Tensor:
    """Shift to the left."""
    return _warp(images, (1, 0, pixels), _DOWN, fill, mode)


def translate_y(images: Tensor, pixels: Tensor, fill: int, mode: str) -> Tensor:
    """Shift upwards."""
    return _warp(images, _ACROSS, (0, 1, pixels), fill, mode)


def _warp(images: Tensor, across: _Row, down: _Row, fill: int, mode: str) -> Tensor:
    """Sample at x' = a x + b y + c and y' likewise, for each pixel's centre (x, y).

    Written out element by element: the rounding of a matrix product may depend on the batch.
    """
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device, dtype=torch.float64) + 0.5
    y = (torch.arange(height, device=images.device, dtype=torch.float64) + 0.5)[:, None]
    rows = [
        [torch.as_tensor(one, dtype=torch.float64, device=images.device).view(-1, 1, 1) for one in row]
        for row in (across, down)
    ]
    if mode == "bicubic":
        at_x, at_y = ((a * x + b * y + c).expand(len(images), -1, -1) for a, b, c in rows)
        return _bicubic(images, at_x, at_y, fill, across is not _ACROSS, down is not _DOWN)
    grid = torch.empty(len(images), height, width, 2, device=images.device)
    for axis, ((a, b, c), length) in enumerate(zip(rows, (width, height), strict=True)):
        along, beside = (a * x + c) * (2 / length) - 1, b * y * (2 / length)
        grid[..., axis] = along.to(torch.float32) + beside.to(torch.float32)
    shown = F.grid_sample(images.to(torch.float32).sub_(fill), grid, mode, align_corners=False)
    return shown.add_(fill).round_().clamp_(0, 255).to(torch.uint8)


_TAPS: tuple[tuple[int, Callable[[Tensor], Tensor]], ...] = (
    (-1, lambda d: ((2 - d) * d - 1) * d),
    (0, lambda d: (d - 2) * d * d + 1),
    (1, lambda d: ((1 - d) * d + 1) * d),
    (2, lambda d: (d - 1) * d * d),
)
"""Offset of a pixel -> its weight for a place ``d`` after the pixel 0: Keys' cubic with a = -1, as Pillow's."""


def _bicubic(images: Tensor, x: Tensor, y: Tensor, fill: int, across: bool, down: bool) -> Tensor:
    """Sample at (x, y), each (B, H, W) float64; pixels repeat at the border, as in Pillow.

    Without ``across`` every x is the centre of a pixel, without ``down`` every y. torch's bicubic is another cubic,
    with a = -0.75.
    """
    height, width = images.shape[2:]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    column, row = (x - 0.5).floor(), (y - 0.5).floor()
    right, lower = (x - 0.5 - column).to(torch.float32), (y - 0.5 - row).to(torch.float32)
    column, row = column.to(torch.int64), row.to(torch.int64)
    pixels = images.to(torch.float32).flatten(2)
    total = torch.zeros_like(pixels)
    for below, high in _TAPS if down else _TAPS[1:2]:
        begin, tall = (row + below).clamp_(0, height - 1).mul_(width), high(lower)
        for beside, wide in _TAPS if across else _TAPS[1:2]:
            at = (column + beside).clamp_(0, width - 1).add_(begin).flatten(1)[:, None]
            share = (wide(right) * tall).flatten(1)[:, None]
            total.addcmul_(pixels.gather(2, at.expand_as(pixels)), share)
    shown = total.view(images.shape).clamp_(0, 255).floor_()
    return shown.where(inside[:, None], float(fill)).to(torch.uint8)
