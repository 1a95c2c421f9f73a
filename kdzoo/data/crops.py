"""Random resized crops: which part of a picture a view shows, and that part in the view's size."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.counter_rng import uniform

_ATTEMPTS = 10
DRAWS = 2 * _ATTEMPTS + 2
"""Draws for each sample: area and ratio for each attempt, then the place."""


def boxes(drawn: Tensor, sizes: Tensor, scale: tuple[float, float], ratio: tuple[float, float]) -> Tensor:
    """Where to crop, by torchvision's rule (``RandomResizedCrop.get_params``).

    Area and ratio are tried ten times; where no box fits, the largest central one with an allowed ratio is taken.

    Args:
        drawn: (:data:`DRAWS`, B) draws.
        sizes: (B, 2) widths and heights of the pictures in pixels.
        scale: range of the box's part of the area.
        ratio: range of its width divided by its height, drawn on a logarithmic scale.

    Returns:
        (B, 4) int64: left, top, width, height in pixels.
    """
    # torchvision computes in double precision, where a side is seldom exactly half a pixel
    width, height = sizes.to(torch.float64).unbind(1)
    areas = uniform(drawn[0 : 2 * _ATTEMPTS : 2]).to(torch.float64) * (scale[1] - scale[0]) + scale[0]
    low, high = math.log(ratio[0]), math.log(ratio[1])
    ratios = torch.exp(uniform(drawn[1 : 2 * _ATTEMPTS : 2]).to(torch.float64) * (high - low) + low)
    wide = (width * height * areas * ratios).sqrt().round()
    tall = (width * height * areas / ratios).sqrt().round()
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    first = fits.to(torch.int8).argmax(0, keepdim=True)
    wide, tall = wide.gather(0, first)[0], tall.gather(0, first)[0]
    left = (uniform(drawn[-2]).to(torch.float64) * (width - wide + 1)).floor()
    top = (uniform(drawn[-1]).to(torch.float64) * (height - tall + 1)).floor()
    chosen = torch.stack([left, top, wide, tall], 1)
    return torch.where(fits.any(0)[:, None], chosen, _central(width, height, ratio)).to(torch.int64)


def _central(width: Tensor, height: Tensor, ratio: tuple[float, float]) -> Tensor:
    wide = torch.minimum(width, (height * ratio[1]).round())
    tall = torch.minimum(height, (width / ratio[0]).round())
    left, top = ((width - wide) / 2).floor(), ((height - tall) / 2).floor()
    return torch.stack([left, top, wide, tall], 1)


def onto(canvas: int, found: Tensor, sizes: Tensor) -> Tensor:
    """The boxes (B, 4) of pictures with these ``sizes`` (B, 2) on canvases to which the pictures were squashed.

    Returns:
        (B, 4) int64, within the canvas and at least one pixel wide and high.
    """
    factor = canvas / sizes.to(torch.float64)
    begin = (found[:, :2] * factor).round().clamp(max=canvas - 1)
    end = ((found[:, :2] + found[:, 2:]) * factor).round().clamp(max=canvas)
    return torch.cat([begin, torch.maximum(end - begin, torch.ones_like(end))], 1).to(torch.int64)


def resample(store: Tensor, at: Tensor, found: Tensor, side: int, mirrored: Tensor, mode: str) -> Tensor:
    """Parts of stored images, each resized to the view's side, some of them mirrored.

    Args:
        store: (N, H, W, C) uint8.
        at: (B,) positions in the store.
        found: (B, 4) int64 on the CPU: left, top, width, height in the store's pixels.
        side: of the view in pixels.
        mirrored: (B,) bool on the CPU.
        mode: ``bilinear`` or ``bicubic``, with antialiasing.

    Returns:
        (B, side, side, C) uint8.
    """
    views = store.new_empty((len(found), side, side, store.shape[3]))
    for view, position, (left, top, wide, tall), flip in zip(
        views, at.tolist(), found.tolist(), mirrored.tolist(), strict=True
    ):
        part = store[position, top : top + tall, left : left + wide].permute(2, 0, 1)[None]
        shown = F.interpolate(part, (side, side), mode=mode, antialias=True)[0].permute(1, 2, 0)
        view.copy_(shown.flip(1) if flip else shown)
    return views
