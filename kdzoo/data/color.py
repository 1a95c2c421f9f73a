"""Colours of images (B, C, H, W) in [0, 1], C = 1 or 3, each image with a number of its own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_LUMA = 0.299, 0.587, 0.114
_SIDES = 6  # of the hexagon of hues
_TOGETHER = 4
"""Pixels that one row of a product of matrices has: a row of 3 numbers would take almost twice the time."""


def brighten(images: Tensor, factor: Tensor) -> Tensor:
    """Every value times ``factor`` (B,), in place."""
    return images.mul_(_each(factor)).clamp_(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """The distance from the mean of all values times ``factor`` (B,), in place."""
    # the rounding of a float mean depends on the batch; a sum of integers does not
    total = (images * 65536).to(torch.int32).sum(3, dtype=torch.int32).sum((1, 2))
    mean = (total.to(torch.float64) / (65536 * images[0].numel())).to(torch.float32)
    return images.mul_(_each(factor)).add_(_each(mean * (1 - factor))).clamp_(0, 1)


def saturate(images: Tensor, factor: Tensor) -> Tensor:
    """The distance from the luma times ``factor`` (B,), in place."""
    if images.shape[1] == 1:
        return images
    faded = luma(images).mul_(_each(1 - factor))
    return images.mul_(_each(factor)).add_(faded).clamp_(0, 1)


def jitter(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> None:
    """:func:`brighten`, :func:`contrast` and :func:`saturate` images, up to rounding, in a third of the time.

    Args:
        images: (b, H, W, 3) in [0, 1], contiguous, changed in place.
        brightness: (b,) factors of an image's values.
        contrast: (b,) factors of their distance from their mean.
        saturation: (b,) factors of their distance from the luma.

    """
    number, height, width, channels = images.shape
    rows = images.view(number, -1)
    rows.mul_(brightness[:, None]).clamp_(max=1)
    # sums of rows do not depend on the number of threads, nor does the sum of a few numbers
    sums = images.view(number * height, -1).sum(1).numpy().reshape(number, height).sum(1, dtype=np.float64)
    centre = sums / rows.shape[1] * (1 - contrast.numpy().astype(np.float64))
    rows.mul_(contrast[:, None]).add_(torch.from_numpy(centre.astype(np.float32))[:, None]).clamp_(0, 1)
    together = _TOGETHER if height * width % _TOGETHER == 0 else 1
    for image, matrix in zip(images, _saturation(saturation, together), strict=True):
        pixels = image.view(-1, channels * together)
        torch.clamp(pixels @ matrix, 0, 1, out=pixels)


def _saturation(factors: Tensor, together: int) -> Tensor:
    """The matrices (b, ...) that pixels of ``together`` colours in a row are multiplied with."""
    factor = factors.numpy().astype(np.float64)[:, None, None]
    luma_of = np.array(_LUMA, np.float32)[:, None]
    each = luma_of * (1 - factor).astype(np.float32) + factor.astype(np.float32) * np.eye(3, dtype=np.float32)
    places = np.eye(together, dtype=np.float32)[:, None, :, None]
    return torch.from_numpy((places * each[:, None, :, None]).reshape(len(each), 3 * together, -1))


def turn_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of HSV by ``shift`` (B,), 1 being a whole turn, in place; value and saturation stay."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    spread = value - torch.minimum(torch.minimum(red, green), blue)
    divisor = spread + (1 - spread.sign())  # any number serves where the spread is 0
    # signs instead of torch.where, which takes many times as long
    reddest = (red - value).sign_().add_(1)
    greenest = (green - value).sign_().add_(1).mul_(1 - reddest)
    bluest = 1 - reddest - greenest
    hue = (green - blue).div_(divisor).mul_(reddest)
    hue.add_((blue - red).div_(divisor).add_(2).mul_(greenest))
    hue.add_((red - green).div_(divisor).add_(4).mul_(bluest)).add_(shift[:, None, None] * _SIDES)
    for channel, corner in zip((red, green, blue), (5, 3, 1), strict=True):
        along = hue + corner
        along.sub_((along / _SIDES).floor_().mul_(_SIDES))
        below = torch.minimum(along, 4 - along).clamp_(0, 1).mul_(spread)
        torch.sub(value, below, out=channel)
    return images


def fade(images: Tensor) -> Tensor:
    """The luma in every channel."""
    return images if images.shape[1] == 1 else luma(images).expand_as(images)


def solarize(images: Tensor, threshold: float = 128 / 255) -> Tensor:
    """Values of ``threshold`` and above are inverted."""
    above = (images - threshold).sign_().add_(1).clamp_(max=1)
    return (1 - 2 * images).mul_(above).add_(images)


def luma(images: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W), by ITU-R BT.601."""
    red, green, blue = images.unbind(1)
    return (red * _LUMA[0]).addcmul_(green, _weight(images, 1)).addcmul_(blue, _weight(images, 2))[:, None]


def _weight(images: Tensor, channel: int) -> Tensor:
    return images.new_full((), _LUMA[channel])


def _each(numbers: Tensor) -> Tensor:
    return numbers[:, None, None, None]
