"""Operations of automatic augmentation on 8-bit pixels, with Pillow's arithmetic.

Each takes images (B, C, H, W) uint8 with C = 1 or 3 and a number for each image (B,), and returns uint8. What an
image becomes depends on no other image of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional


def auto_contrast(images: Tensor, number: Tensor) -> Tensor:
    """Stretch each channel to 0..255; a channel of one value stays. Takes no number."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = high == low
    low, span = low.masked_fill(flat, 0), (high - low).masked_fill(flat, 255)
    return (images - low).to(torch.float32).mul_(255).div_(span).to(torch.uint8)


def equalize(images: Tensor, number: Tensor) -> Tensor:
    """Flatten each channel's histogram. Takes no number."""
    flat: Tensor = functional.equalize(images)
    return flat


def invert(images: Tensor, number: Tensor) -> Tensor:
    """255 less each value. Takes no number."""
    return ~images


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest ``bits``, 0 to 8."""
    return images & _each((256 - 2 ** (8 - bits.clamp(0, 8).to(torch.int64))).to(torch.uint8))


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert values of ``threshold``, 0 to 256, and above."""
    least = threshold.ceil().to(torch.int16) - 1
    above = (images.to(torch.int16) - _each(least)).clamp_(0, 1)  # torch.where takes many times as long
    return images ^ above.mul_(255).to(torch.uint8)


def solarize_add(images: Tensor, added: Tensor) -> Tensor:
    """Add ``added``, 0 to 128, to values below 128."""
    below = (128 - images.to(torch.int16)).clamp_(0, 1)
    return images + below.mul_(_each(added.to(torch.int16))).to(torch.uint8)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Each value times ``factor``."""
    return _blend(torch.zeros_like(factor)[:, None, None, None], images, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """The distance from the rounded mean luma times ``factor``."""
    total = _luma(images).sum((1, 2, 3), keepdim=True)
    pixels = images.shape[2] * images.shape[3]
    return _blend(torch.div(2 * total + pixels, 2 * pixels, rounding_mode="floor"), images, factor)


def color(images: Tensor, factor: Tensor) -> Tensor:
    """The distance from the luma times ``factor``."""
    return images if images.shape[1] == 1 else _blend(_luma(images), images, factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """The distance from a 3x3 mean whose centre has weight 5 times ``factor``; the border stays."""
    if min(images.shape[2:]) < 3:
        return images
    whole = images.to(torch.int16)
    rows = whole[:, :, :-2] + whole[:, :, 1:-1] + whole[:, :, 2:]
    smooth = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = (smooth + 4 * whole[:, :, 1:-1, 1:-1]).to(torch.float32).div_(13).add_(0.5).floor_()
    sharp = images.clone()
    sharp[:, :, 1:-1, 1:-1] = _blend(smooth, images[:, :, 1:-1, 1:-1], factor)
    return sharp


def grey(images: Tensor, number: Tensor) -> Tensor:
    """The luma in every channel. Takes no number."""
    return images if images.shape[1] == 1 else _luma(images).to(torch.uint8).expand_as(images)


def _luma(images: Tensor) -> Tensor:
    """(B, C, H, W) uint8 -> (B, 1, H, W) int32, by ITU-R BT.601 in Pillow's whole numbers."""
    if images.shape[1] == 1:
        return images.to(torch.int32)
    red, green, blue = images.to(torch.int32).unbind(1)
    return (red * 19595).add_(green * 38470).add_(blue * 7471).add_(1 << 15).bitwise_right_shift_(16)[:, None]


def _blend(ground: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    ground = ground.to(torch.float32)
    away = (images - ground).mul_(_each(factor.to(torch.float32))).add_(ground)
    return away.clamp_(0, 255).to(torch.uint8)


def _each(numbers: Tensor) -> Tensor:
    return numbers[:, None, None, None]
