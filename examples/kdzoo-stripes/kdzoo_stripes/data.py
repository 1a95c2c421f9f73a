"""The data set ``stripes``: grey stripes, with their angle as the class."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from kdzoo.api import DataSource, Samples
from pydantic import Field, PositiveInt

SEEDS = {"train": 0, "test": 1}


class Stripes(DataSource):
    """Noisy stripes of random width and phase; the class is the angle.

    Args:
        angles: the number of classes.
        side: side of an image, in pixels.
        train: training images of each class.
        test: test images of each class.
        noise: standard deviation of the noise, on a scale from 0 (black) to 1 (white).

    """

    name = "stripes"
    mirror = False  # mirroring changes the angle

    def __init__(
        self,
        angles: Annotated[int, Field(ge=2)] = 6,
        side: PositiveInt = 32,
        train: PositiveInt = 100,
        test: PositiveInt = 20,
        noise: Annotated[float, Field(ge=0)] = 0.3,
    ) -> None:
        self.classes = [f"{180 * number / angles:g} degrees" for number in range(angles)]
        self.side, self.noise = side, noise
        self.count = {"train": train, "test": test}

    def split(self, name: str) -> Samples | None:
        """The split, generated from a fixed seed."""
        if name not in self.count:
            return None
        generator = np.random.Generator(np.random.PCG64(SEEDS[name]))
        labels = np.arange(self.count[name] * len(self.classes)) % len(self.classes)
        return Samples(np.stack([self._image(int(label), generator) for label in labels]), labels)

    def _image(self, label: int, generator: np.random.Generator) -> np.ndarray:
        """(side, side) uint8."""
        angle = math.pi * label / len(self.classes)
        row, column = np.mgrid[: self.side, : self.side] / self.side
        waves, phase = generator.uniform(2, 4), generator.uniform(0, 2 * math.pi)
        along = math.cos(angle) * column + math.sin(angle) * row
        image = 0.5 + 0.5 * np.sin(2 * math.pi * waves * along + phase)
        image += self.noise * generator.standard_normal(image.shape)
        return (255 * image.clip(0, 1)).round().astype(np.uint8)
