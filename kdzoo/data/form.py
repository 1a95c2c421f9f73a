"""The forms in which decoded pictures are kept. A form takes an opened image, and is part of the cache's keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from PIL import Image
from timm.data import create_transform

from kdzoo.data import crops
from kdzoo.data.decode import fit, upright
from kdzoo.data.listing import Pixels
from kdzoo.recipe.evaluation import Evaluation


class Form(Protocol):
    """From an opened image to (side, side, 3) uint8.

    Attributes:
        sized: whether the picture's true width and height are kept beside its pixels.
        by_pixels: whether the pixels stand for the content of the set; the form of an evaluation decides no weights,
            so that a teacher serves students that are evaluated otherwise.
    """

    sized: ClassVar[bool]
    by_pixels: ClassVar[bool]

    @property
    def side(self) -> int:
        """In pixels."""

    def __call__(self, image: Image.Image) -> Pixels:
        """The pixels; raises what Pillow raises on a broken image."""


@dataclass(frozen=True)
class Square:
    """The centre square in the training size."""

    sized: ClassVar[bool] = False
    by_pixels: ClassVar[bool] = True
    side: int

    def __call__(self, image: Image.Image) -> Pixels:
        """See :func:`kdzoo.data.decode.fit`."""
        return fit(image, self.side)


@dataclass(frozen=True)
class Canvas:
    """The whole picture, squashed to a square (bicubic, antialiased)."""

    sized: ClassVar[bool] = True
    by_pixels: ClassVar[bool] = True
    side: int

    def __call__(self, image: Image.Image) -> Pixels:
        """A photograph is decoded at a reduced scale of at least twice the side where its format allows."""
        return crops.whole(np.asarray(upright(image, 2 * self.side)), self.side)


@dataclass(frozen=True)
class Crop:
    """A part of one picture, in no form of a set: what a view shows of it.

    It is decoded at a reduced scale where that leaves the part at least as many pixels as the view has.

    Attributes:
        side: of the view in pixels.
        size: true width and height of the picture.
        box: left, top, width, height in its pixels.
        mirrored: whether the view is its mirror image.
        mode: ``bilinear`` or ``bicubic``.
    """

    side: int
    size: tuple[int, ...]
    box: tuple[int, ...]
    mirrored: bool
    mode: str

    def __call__(self, image: Image.Image) -> Pixels:
        """(side, side, 3) uint8."""
        reduction = max(1, min(self.box[2:]) // self.side)
        image.draft("RGB", (image.size[0] // reduction, image.size[1] // reduction))
        picture, box = upright(image), self.box
        if picture.size != self.size:
            found = torch.tensor([self.box]), torch.tensor([self.size])
            box = tuple(crops.onto(torch.tensor([picture.size]), *found)[0].tolist())
        left, top, wide, tall = box
        part = np.array(picture.crop((left, top, left + wide, top + tall)))
        view: Pixels = crops.resized(torch.from_numpy(part), self.side, self.mode, self.mirrored).numpy()
        return view


@dataclass(frozen=True)
class Evaluated:
    """What timm's evaluation shows of a picture; nothing is decoded at a reduced scale."""

    sized: ClassVar[bool] = False
    by_pixels: ClassVar[bool] = False
    side: int
    how: Evaluation

    def __call__(self, image: Image.Image) -> Pixels:
        """By timm's own transform."""
        shown: Pixels = self._transform(upright(image)).permute(1, 2, 0).numpy()
        return shown

    @cached_property
    def _transform(self) -> Callable[[Image.Image], Any]:
        made: Callable[[Image.Image], Any] = create_transform(
            (3, self.side, self.side), is_training=False, interpolation=self.how.interpolation,
            crop_pct=self.how.crop_pct, crop_mode=self.how.crop_mode, mean=self.how.mean, normalize=False,
        )  # fmt: skip
        return made
