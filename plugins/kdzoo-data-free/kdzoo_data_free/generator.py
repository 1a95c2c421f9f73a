"""The image generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_FIRST_SIDE = 8
"""Largest side of the first map, in pixels."""


class Generator(nn.Module):
    """From random vectors to images in [0, 1] of any size: a linear layer, then upsampling with convolutions.

    The sides of the maps are ``size`` halved repeatedly, rounded up, until at most 8, so that 28, 30 and 224
    pixels are reached exactly. The first maps have ``width`` x 2 channels, the last ``width``. There is no
    normalisation before the sigmoid: Adam would change its scale and shift by only the learning rate per
    step, so mostly black images would take long to learn.

    Args:
        latent: D, the length of a vector.
        channels: C, channels of the images.
        size: height and width in pixels.
        width: channels of the last maps; the others have twice as many.

    """

    def __init__(self, latent: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        sides = [size]
        while sides[0] > _FIRST_SIDE:
            sides.insert(0, (sides[0] + 1) // 2)
        self.sides = tuple(sides)
        self.first = nn.Linear(latent, 2 * width * sides[0] ** 2, bias=False)
        self.norm = nn.BatchNorm2d(2 * width)
        blocks: list[nn.Module] = []
        before = 2 * width
        for number in range(1, len(sides)):
            after = width if number == len(sides) - 1 else 2 * width
            blocks.append(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.LeakyReLU(0.2),
                )
            )
            before = after
        self.blocks = nn.ModuleList(blocks)
        self.last = nn.Conv2d(before, channels, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        """Images (B, C, size, size) in [0, 1] from (B, D) random numbers of mean 0 and variance 1."""
        first = self.first(latent)
        maps: Tensor = self.norm(first.view(len(first), -1, self.sides[0], self.sides[0]))
        for side, block in zip(self.sides[1:], self.blocks, strict=True):
            maps = block(functional.interpolate(maps, (side, side), mode="nearest"))
        return torch.sigmoid(self.last(maps).float())
