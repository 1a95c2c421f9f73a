"""Image files below one folder as a listing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from kdzoo.api.batch import UNLABELLED
from kdzoo.data.listing import Targets, digest

Classes = Mapping[str, Sequence[str]]
"""Class name -> its files, both in order; the files of the class ``""`` have no label."""

NO_LABEL = ""
"""Stands for the class of a file that has none."""


class FolderListing:
    """Image files below one folder.

    Args:
        root: the folder.
        names: the files, ``root`` included.
        targets: (n,) class ids.
        split: the name of the root if it is the folder of a split; else empty.

    """

    def __init__(self, root: Path, names: Sequence[str], targets: Targets, split: str = "") -> None:
        self.root = root
        self.split = split
        self.names = tuple(names)
        self.keys = tuple(_below(root, name) for name in self.names)
        self.targets = targets

    def load(self, row: int) -> Image.Image:
        """The image with its header read; pixels are decoded when first used."""
        return Image.open(self.names[row])

    @cached_property
    def facts(self) -> list[tuple[str, int, int]]:
        """Name below the root, size, and time of modification of each file."""
        return [(key, *size_and_time(name)) for key, name in zip(self.keys, self.names, strict=True)]

    @cached_property
    def stamp(self) -> str:
        """Digest of where the files are, their names, sizes and times of modification."""
        return digest((self.root.resolve(), *(fact for facts in self.facts for fact in facts)))

    @cached_property
    def manifest(self) -> str:
        """Digest of the names and sizes."""
        return digest(fact for facts in self.facts for fact in facts[:2])


def listing_of(root: Path, images: Classes, classes: Sequence[str], split: str = "") -> FolderListing:
    """The files of the classes in their order, which numbers them, then those without a label.

    Args:
        root: the folder that has them, or that has the folder ``split`` with them.
        images: the files.
        classes: every class, in the order of their ids.
        split: the name of a folder below ``root``, or empty.

    """
    groups = [*enumerate(classes), (UNLABELLED, NO_LABEL)]
    return FolderListing(
        root / split,
        [file for _, name in groups for file in images.get(name, ())],
        np.repeat([number for number, _ in groups], [len(images.get(name, ())) for _, name in groups]),
        split,
    )


def size_and_time(file: str) -> tuple[int, int]:
    """Bytes, and the time of modification in nanoseconds; -1 and -1 for a dangling link."""
    try:
        stat = os.stat(file)
    except OSError:  # decoding will find it unreadable
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


def _below(root: Path, file: str) -> str:
    """The part of the path below ``root``. Plain strings: paths as objects would double the time of a scan."""
    return file[len(str(root)) + 1 :].replace(os.sep, "/")
