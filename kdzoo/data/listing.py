"""What a source offers before anything is decoded: samples in a fixed order, their classes, how to read one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Targets = NDArray[np.int64]
Pixels = NDArray[np.uint8]


class Listing(Protocol):
    """The samples of one split. A row is a sample's position here; it becomes ``Batch.index``."""

    @property
    def names(self) -> Sequence[str]:
        """A readable name for each sample: what an error message quotes."""

    @property
    def keys(self) -> Sequence[str]:
        """A name for each sample that is the same on every machine: a file's path below its split."""

    @property
    def targets(self) -> Targets:
        """(n,) class ids."""

    @property
    def stamp(self) -> str:
        """Changes whenever the decoded content may have changed on this machine; costs no decoding."""

    @property
    def manifest(self) -> str:
        """Digest of names and sizes, the same on every machine."""

    def load(self, row: int) -> Image.Image:
        """The image, opened but perhaps not yet decoded. Raises what the reader raises on a broken one."""


@dataclass(frozen=True)
class Source:
    """Everything a data set offers.

    Attributes:
        train, val, test: the listings; val is None where the source has no validation split of its own.
        classes: the class names, in the order of their ids.
        notes: decisions that the user should know of.
        mirror: whether a mirrored image still shows its class.

    """

    train: Listing
    val: Listing | None
    test: Listing
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    mirror: bool = True

    @property
    def labelled(self) -> bool:
        """Whether some training image has a label."""
        return bool((self.train.targets >= 0).any())


def digest(parts: Iterable[object]) -> str:
    """sha256 over the ``str`` of each part, kept apart from its neighbours."""
    running = hashlib.sha256()
    for part in parts:
        running.update(str(part).encode(errors="surrogateescape"))  # a file's name may be no UTF-8
        running.update(b"\0")
    return running.hexdigest()
