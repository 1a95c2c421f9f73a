"""The image generator."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_FIRST_SIDE = 8
"""Largest side of the first map, in pixels."""


class Generator(nn.Module):
    """From noise vectors to images in [0, 1]: a linear layer to a small map, then upsampling and convolutions.

    The sides of the maps are ``size`` halved repeatedly, rounded up, until at most 8, so every size is
    reached exactly.

    Args:
        latent: length of a noise vector.
        channels: channels of the images.
        size: height and width of the images in pixels.
        width: channels of the last map; the first ones have twice as many.

    """

    def __init__(self, latent: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        sides = [size]
        while sides[-1] > _FIRST_SIDE:
            sides.append(-(-sides[-1] // 2))
        self.sides = sides[::-1]
        self.latent = latent
        widths = [2 * width] * (len(sides) - 1) + [width]
        wide = widths[0]
        self.enter = nn.Linear(latent, wide * self.sides[0] ** 2, bias=False)
        self.begin = nn.BatchNorm2d(wide)
        self.doublings = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(0.2),
            )
            for before, after in pairwise(widths)
        )
        # Normalised before the sigmoid, so that initial images are neither black nor white.
        self.leave = nn.Sequential(
            nn.Conv2d(widths[-1], channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, noise: Tensor) -> Tensor:
        """Images (B, C, size, size) from (B, latent) standard normal numbers."""
        side = self.sides[0]
        maps: Tensor = self.begin(self.enter(noise).unflatten(1, (-1, side, side)))
        for side, doubling in zip(self.sides[1:], self.doublings, strict=True):
            maps = doubling(functional.interpolate(maps, size=(side, side)))
        return torch.sigmoid(self.leave(maps).float())
