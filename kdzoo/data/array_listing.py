"""Samples that are in memory already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

from PIL import Image

from kdzoo.data.listing import Pixels, Targets, digest


class ArrayListing:
    """Decoded images (n, H, W, C) uint8 with their class ids (n,); ``what`` names those that have no ``keys``."""

    def __init__(
        self, what: str, images: Pixels, targets: Targets, keys: Sequence[str] | None = None
    ) -> None:
        self.images = images
        self.targets = targets
        self.names = self.keys = (
            tuple(f"{what} {row}" for row in range(len(images))) if keys is None else tuple(keys)
        )

    def load(self, row: int) -> Image.Image:
        """The image."""
        return Image.fromarray(
            self.images[row].squeeze(-1) if self.images.shape[-1] == 1 else self.images[row]
        )

    @cached_property
    def stamp(self) -> str:
        """Digest of the pixels."""
        return digest((self.images.shape, hashlib.sha256(self.images.tobytes()).hexdigest()))

    @property
    def manifest(self) -> str:
        """Digest of the pixels."""
        return self.stamp
