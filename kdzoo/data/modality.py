"""Modalities computed from the image: for distillation, and for tests of methods that need pairs.

Everything here takes (B, C, H, W) in [0, 1] and returns the same height and width in [0, 1], independently for each
image of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

_LUMA = 0.299, 0.587, 0.114
_SOBEL_PEAK = math.sqrt(20)  # the largest magnitude in an image of zeros and ones: 4 one way and 2 the other
_REDUCED = 4


def grey(images: Tensor) -> Tensor:
    """The luma of ITU-R BT.601, (B, 1, H, W); an image of one channel is returned unchanged."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    weighted = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    return weighted[:, None].clamp(0, 1)  # rounding


def edges(images: Tensor) -> Tensor:
    """The magnitude of Sobel's gradient of :func:`grey`, divided by the largest possible one, (B, 1, H, W)."""
    across, down = _smooth(_framed(grey(images)), 2), _smooth(_framed(grey(images)), 3)
    gradient = across[..., 2:] - across[..., :-2], down[..., 2:, :] - down[..., :-2, :]
    return ((gradient[0] ** 2 + gradient[1] ** 2).sqrt() / _SOBEL_PEAK).clamp(0, 1)


def heat(images: Tensor) -> Tensor:
    """A synthetic thermal image, (B, 1, H, W): bright where flat, dark and blurred (3x3 mean) at :func:`edges`."""
    framed = _framed(edges(images))
    rows = framed[..., :-2, :] + framed[..., 1:-1, :] + framed[..., 2:, :]
    return (1 - (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9).clamp(0, 1)


def low_resolution(images: Tensor) -> Tensor:
    """Averaged to a quarter of the resolution, then enlarged again (bilinear), (B, C, H, W)."""
    height, width = images.shape[-2:]
    small = F.adaptive_avg_pool2d(images, (math.ceil(height / _REDUCED), math.ceil(width / _REDUCED)))
    return F.interpolate(small, (height, width), mode="bilinear", align_corners=False).clamp(0, 1)


def _framed(images: Tensor) -> Tensor:
    """Padded by one replicated pixel on each side."""
    return F.pad(images, (1, 1, 1, 1), mode="replicate")


def _smooth(framed: Tensor, along: int) -> Tensor:
    """(1, 2, 1) along rows (2) or columns (3)."""
    length = framed.shape[along] - 2
    parts = [framed.narrow(along, start, length) for start in range(3)]
    return parts[0] + 2 * parts[1] + parts[2]


@dataclass(frozen=True)
class ComputedModality:
    """A computed modality: its function, and whether it always has a single channel."""

    compute: Callable[[Tensor], Tensor]
    single: bool

    def channels(self, image: int) -> int:
        """Its number of channels for an image with this number."""
        return 1 if self.single else image


COMPUTED: Mapping[str, ComputedModality] = {
    "edges": ComputedModality(edges, single=True),
    "grey": ComputedModality(grey, single=True),
    "heat": ComputedModality(heat, single=True),
    "low-resolution": ComputedModality(low_resolution, single=False),
}
