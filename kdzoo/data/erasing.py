"""Random erasing (Zhong et al. 2020, arXiv 1708.04896) with timm's modes."""

from __future__ import annotations

import math

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

from kdzoo.counter_rng import below, draws, normal, uniform
from kdzoo.data.planes import some_at_once
from kdzoo.recipe.augment import AugmentConfig

MOST = 16
"""Rectangles of an image."""

_FIRST = range(7, 12)  # whether at all; area, ratio and place of the first rectangle
_NUMBER = range(47, 48)
_OTHERS = range(48, 48 + 4 * MOST)  # area, ratio and place of each further one
_COLORS = range(112, 112 + 3 * MOST)
_NOISE = 1 << 20  # and a draw for each number of a picture


def erase(images: Tensor, seeded: int, index: Tensor, config: AugmentConfig) -> Tensor:
    """Replace one to ``erase_count`` rectangles of an image, with probability ``erase``.

    ``black`` fills with 0; ``const`` with ImageNet's mean colour, which is timm's 0 of a normalised image; ``rand``
    with a normally distributed colour for each rectangle, and ``pixel`` with one for each pixel, both with ImageNet's
    mean and deviation, cut to [0, 1]. Where timm draws a rectangle anew because it is as high or wide as the image,
    this one is cut to the image.

    Args:
        images: (B, C, H, W) in [0, 1].
        seeded: key of the draws.
        index: (B,) the samples, which the draws depend on.
        config: ``erase`` and the keys that begin so.

    """
    first = draws(seeded, index, _FIRST)
    hit = uniform(first[0]) < config.erase
    number = below(draws(seeded, index, _NUMBER)[0], config.erase_count) + 1
    others = draws(seeded, index, _OTHERS) if config.erase_count > 1 else first[:0]
    fill: Tensor | None = None
    if config.erase_mode == "pixel":
        fill = _noise(images, seeded, index, hit)
    for which in range(config.erase_count):
        drawn = first[1:] if which == 0 else others[4 * (which - 1) : 4 * which]
        inside = rectangle(drawn, images.shape[-2:], config.erase_area, config.erase_ratio, number)
        inside &= (hit & (which < number))[:, None, None]
        if config.erase_mode == "black":
            images = images.masked_fill(inside[:, None], 0.0)
            continue
        if config.erase_mode == "const":
            fill = _coloured(images, images.new_zeros(1, images.shape[1]))[:, :, None, None]
        elif config.erase_mode == "rand":
            drawn = draws(seeded, index, _COLORS[3 * which : 3 * which + images.shape[1]])
            fill = _coloured(images, normal(drawn).T)[:, :, None, None]
        assert fill is not None
        images = torch.where(inside[:, None], fill, images)
    return images


def rectangle(
    drawn: Tensor, size: torch.Size, area: tuple[float, float], ratio: tuple[float, float], number: Tensor
) -> Tensor:
    """Where a rectangle lies: (B, H, W) bool.

    Args:
        drawn: (4, B) draws for area, ratio, top and left.
        size: height and width of the images.
        area: range of its part of the area, divided among ``number`` (B,) rectangles.
        ratio: range of height / width, drawn on a logarithmic scale.
        number: rectangles of each image.

    """
    height, width = size
    part, shape, top, left = uniform(drawn)
    low, high = area
    pixels = (low + (high - low) * part) * height * width / number
    middle, half = (
        (math.log(ratio[1]) + math.log(ratio[0])) / 2,
        (math.log(ratio[1]) - math.log(ratio[0])) / 2,
    )
    tall_to_wide = torch.exp((2 * shape - 1) * half + middle)
    tall = (pixels * tall_to_wide).sqrt().clamp(max=height).round()
    wide = (pixels / tall_to_wide).sqrt().clamp(max=width).round()
    row = torch.arange(height, device=drawn.device)
    column = torch.arange(width, device=drawn.device)
    inside_rows = _within(row, (top * (height - tall + 1)).floor(), tall)
    inside_columns = _within(column, (left * (width - wide + 1)).floor(), wide)
    return inside_rows[:, :, None] & inside_columns[:, None, :]


def _within(position: Tensor, begin: Tensor, length: Tensor) -> Tensor:
    return (position >= begin[:, None]) & (position < (begin + length)[:, None])


def _coloured(images: Tensor, numbers: Tensor) -> Tensor:
    """Numbers (..., C) of normalised images as colours; a single channel has the mean of the three."""
    mean, deviation = images.new_tensor([IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD])
    if images.shape[1] == 1:
        mean, deviation = mean.mean(), deviation.mean()
    colours: Tensor = (numbers * deviation + mean).clamp_(0, 1)
    return colours


def _noise(images: Tensor, seeded: int, index: Tensor, hit: Tensor) -> Tensor:
    """Normal noise in the shape of the images, for those that are hit."""
    fill = torch.zeros_like(images)
    numbers = range(_NOISE, _NOISE + images[0].numel())
    for rows in torch.split(hit.nonzero()[:, 0], some_at_once(images)):
        drawn = normal(draws(seeded, index[rows], numbers)).T
        drawn = drawn.reshape(len(rows), *images.shape[2:], images.shape[1])
        fill[rows] = _coloured(images, drawn).permute(0, 3, 1, 2)
    return fill
