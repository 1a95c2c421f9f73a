"""Random resized crops: which part of a picture a view shows, and that part in the view's size."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.counter_rng import uniform
from kdzoo.data.listing import Pixels
from kdzoo.data.threads import one_by_one

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
    first = fits.to(torch.uint8).argmax(0, keepdim=True)
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


def centre(sizes: Tensor) -> Tensor:
    """The largest centre square of pictures with these ``sizes`` (B, 2), as boxes (B, 4) int64."""
    side = sizes.amin(1, keepdim=True)
    return torch.cat([(sizes - side) // 2, side, side], 1)


def onto(canvas: Tensor | int, found: Tensor, sizes: Tensor) -> Tensor:
    """The boxes (B, 4) of pictures with these ``sizes`` (B, 2) on what the pictures were resized to.

    Args:
        canvas: side of a square, or (B, 2) widths and heights.
        found: left, top, width, height in the pictures' own pixels.
        sizes: widths and heights of the pictures.

    Returns:
        (B, 4) int64, within the canvas and at least one pixel wide and high.
    """
    limit = torch.as_tensor(canvas, device=sizes.device).expand_as(sizes).to(torch.float64)
    factor = limit / sizes.to(torch.float64)
    begin = torch.minimum((found[:, :2] * factor).round(), limit - 1)
    end = torch.minimum(((found[:, :2] + found[:, 2:]) * factor).round(), limit)
    return torch.cat([begin, torch.maximum(end - begin, torch.ones_like(end))], 1).to(torch.int64)


def resample(store: Tensor, at: Tensor, found: Tensor, side: int, mirrored: Tensor, mode: str) -> Tensor:
    """Parts of stored images, each resized to the view's side, some of them mirrored.

    On a CPU image by image, in as many threads as torch has; elsewhere all at once.

    Args:
        store: (N, H, W, C) uint8.
        at: (B,) positions in the store.
        found: (B, 4) int64: left, top, width, height in the store's pixels.
        side: of the view in pixels.
        mirrored: (B,) bool.
        mode: ``bilinear`` or ``bicubic``, with antialiasing.

    Returns:
        (B, side, side, C) uint8.
    """
    if store.device.type != "cpu":
        return together(store, at, found, side, mirrored, mode)
    views = store.new_empty((len(found), side, side, store.shape[3]))
    positions, boxes, flips = at.tolist(), found.tolist(), mirrored.tolist()

    def make(number: int) -> None:
        left, top, wide, tall = boxes[number]
        part = store[positions[number], top : top + tall, left : left + wide]
        views[number].copy_(resized(part, side, mode, flips[number]))

    one_by_one(len(boxes), make)
    return views


def resized(part: Tensor, side: int, mode: str, mirrored: bool) -> Tensor:
    """An image (H, W, C) uint8 on the CPU as (side, side, C); see :func:`resample`."""
    # in this memory format torch has the faster kernel, and its result is copied in one run
    planes = part.permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)
    shown = F.interpolate(planes, (side, side), mode=mode, antialias=True)[0].permute(1, 2, 0)
    return shown.flip(1) if mirrored else shown


def whole(pixels: Pixels, side: int) -> Pixels:
    """An image (H, W, C) squashed to a square (bicubic, antialiased)."""
    picture = torch.tensor(pixels).permute(2, 0, 1)[None]
    squashed: Pixels = (
        F.interpolate(picture, (side, side), mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()
    )
    return squashed


def together(store: Tensor, at: Tensor, found: Tensor, side: int, mirrored: Tensor, mode: str) -> Tensor:
    """As :func:`resample`, by two products with matrices of weights: first across, then down, rounded after each."""
    found, mirrored = found.to(store.device), mirrored.to(store.device)
    height, width = store.shape[1:3]
    across = _weights(found[:, 0], found[:, 2], width, side, mode)
    across = torch.where(mirrored[:, None, None], across.flip(1), across)
    down = _weights(found[:, 1], found[:, 3], height, side, mode)
    with torch.autocast(store.device.type, enabled=False):
        images = store.index_select(0, at).permute(0, 3, 1, 2).to(torch.float32)
        images = (images @ across.transpose(1, 2)[:, None]).round_().clamp_(0, 255)
        images = (down[:, None] @ images).round_().clamp_(0, 255)
    return images.to(torch.uint8).permute(0, 2, 3, 1)


def _weights(begin: Tensor, length: Tensor, pixels: int, side: int, mode: str) -> Tensor:
    """What each of ``pixels`` adds to each of ``side`` resampled ones, (B, side, pixels): Pillow's filters."""
    scale = (length / side).to(torch.float32)[:, None, None]
    wide = scale.clamp(min=1)
    middle = (torch.arange(side, device=begin.device)[:, None] + 0.5) * scale
    position = torch.arange(pixels, device=begin.device) - begin[:, None, None]
    distance = ((position + 0.5 - middle) / wide).abs()
    if mode == "bilinear":
        weights = (1 - distance).clamp(min=0)
    else:  # Keys' cubic with a = -0.5
        near = (1.5 * distance - 2.5) * distance**2 + 1
        far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
        weights = torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
    inside = (position >= 0) & (position < length[:, None, None])
    weights = weights.where(inside, 0.0)
    return weights / weights.sum(2, keepdim=True)
