"""The samples of a plugin's data set, each read when it is needed."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from kdzoo.data.listing import Targets, digest

Form: TypeAlias = Literal["file", "bytes", "pillow", "pixels"]


class SampleListing:
    """Images of any form that :class:`kdzoo.api.Samples` takes, with their class ids (n,).

    Args:
        images: asked for one at a time.
        targets: class ids.
        keys: a name for each sample, the same on every machine.

    """

    def __init__(self, images: Sequence[Any], targets: Targets, keys: Sequence[str]) -> None:
        self._images = images
        self.targets = targets
        self.names = self.keys = tuple(keys)

    def load(self, row: int) -> Image.Image:
        """The image; the caller may close it."""
        return as_image(self._images[row])

    @cached_property
    def _facts(self) -> list[tuple[str, str]]:
        """What identifies each image: on this machine, and anywhere."""
        return [self._fact(row) for row in range(len(self.targets))]

    def _fact(self, row: int) -> tuple[str, str]:
        try:
            image = self._images[row]
            if form_of(image) == "file":
                stat = os.stat(image)
                return f"{Path(image).resolve()} {stat.st_size} {stat.st_mtime_ns}", str(stat.st_size)
            content = digest(_content(image))
        except MemoryError:
            raise
        except Exception as error:  # decoding will find it unreadable
            content = f"unreadable: {type(error).__name__}"
        return content, content

    @cached_property
    def stamp(self) -> str:
        """Digest of the names with, of a file, its place, size and time of modification, and else the content."""
        return digest((*self.keys, *(here for here, _ in self._facts)))

    @cached_property
    def manifest(self) -> str:
        """Digest of the names with, of a file, its size, and else the content."""
        return digest((*self.keys, *(anywhere for _, anywhere in self._facts)))


def form_of(picture: Any) -> Form:
    """What an image is given as; it is not read.

    Raises:
        TypeError: this is nothing that an image is read from.

    """
    if isinstance(picture, str | Path):
        return "file"
    if isinstance(picture, bytes):
        return "bytes"
    if isinstance(picture, Image.Image):
        return "pillow"
    is_array = isinstance(picture, np.ndarray)
    if is_array and picture.dtype == np.uint8 and (picture.ndim == 2 or picture.shape[2:] in ((1,), (3,))):
        return "pixels"
    what = f"an array {picture.dtype} {picture.shape}" if is_array else type(picture).__name__
    raise TypeError(
        f"an image is a path, bytes, a Pillow image or an array (H, W) or (H, W, 1 or 3) uint8, not {what}"
    )


def as_image(picture: Any) -> Image.Image:
    """A Pillow image, which the caller may close. Raises what the reader raises on a broken one."""
    match form_of(picture):
        case "file":
            return Image.open(picture)
        case "bytes":
            return Image.open(io.BytesIO(picture))
        case "pillow":
            copied: Image.Image = picture.copy()
            return copied
        case "pixels":
            return Image.fromarray(picture[..., 0] if picture.shape[2:] == (1,) else picture)


def _content(picture: Any) -> tuple[object, ...]:
    """What decides the pixels."""
    match form_of(picture):
        case "bytes":
            return ("bytes", hashlib.sha256(picture).hexdigest())
        case "pillow":
            about = picture.getpalette(), picture.info.get("transparency"), picture.info.get("exif")
            return (picture.mode, picture.size, *about, hashlib.sha256(picture.tobytes()).hexdigest())
    return ("pixels", picture.shape, hashlib.sha256(picture.tobytes()).hexdigest())
