"""The image folder: ``train/``, ``val/`` or ``validation/``, ``test/``, each with class sub-folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from timm.data.readers.reader_image_folder import find_images_and_targets

from kdzoo.data.listing import Source, digest
from kdzoo.errors import KdzooError

_FORMATS = "AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP"
"""Pillow's names of the formats that photographs come in."""

ACCEPTED = "a folder with train/ and test/ (or val/), each holding one sub-folder of images per class"


class FolderListing:
    """The images below one split folder, class by class."""

    def __init__(self, root: Path, images: Sequence[Sequence[str]]) -> None:
        self.root = root
        self.names = tuple(name for names in images for name in names)
        self.keys = tuple(_below(root, name) for name in self.names)
        self.targets = np.repeat(np.arange(len(images)), [len(names) for names in images])

    def load(self, row: int) -> Image.Image:
        """The image with its header read; pixels are decoded when first used."""
        return Image.open(self.names[row])

    @cached_property
    def _facts(self) -> list[tuple[str, int, int]]:
        """Name below the root, size, and time of modification of each file."""
        return [(key, *size_and_time(name)) for key, name in zip(self.keys, self.names, strict=True)]

    @cached_property
    def stamp(self) -> str:
        """Digest of where the files are, their names, sizes and times of modification."""
        return digest((self.root.resolve(), *(fact for facts in self._facts for fact in facts)))

    @cached_property
    def manifest(self) -> str:
        """Digest of the names and sizes."""
        return digest(fact for facts in self._facts for fact in facts[:2])


@cache
def suffixes() -> tuple[str, ...]:
    """The suffixes that Pillow knows for formats of photographs, ``.jfif`` as well as ``.jpg``."""
    known = Image.registered_extensions().items()
    # a .pfm holds floating-point numbers of any range
    return tuple(sorted(suffix for suffix, name in known if name in _FORMATS and suffix != ".pfm"))


def scan(data_dir: Path, *, train: bool = True) -> Source:
    """Find the splits, the classes and the images of a folder.

    Without ``train`` that folder is not looked into, and may be missing: the classes are those of the other splits.

    Classes are numbered in timm's natural order of their names, a class being the innermost folder that holds
    the image, so that timm's own scripts number them alike. Names that begin with a dot are passed over. Where
    there is no ``test/``, the validation folder is the test split, as ImageNet-like folders are used, and a
    validation split is left to be cut from train.

    Raises:
        KdzooError: a folder is missing or empty, images lie outside class folders, or the classes differ.

    """
    if not data_dir.is_dir():
        what = "is not a folder" if data_dir.exists() else "does not exist"
        raise KdzooError(f"data_dir {data_dir} {what}; accepted: {ACCEPTED}")
    if train and not (data_dir / "train").is_dir():
        raise KdzooError(f"data_dir {data_dir} has no train/; accepted: {ACCEPTED}")
    validation = [name for name in ("val", "validation") if (data_dir / name).is_dir()]
    if len(validation) == 2:
        raise KdzooError(f"data_dir {data_dir} has both val/ and validation/; keep one of them")
    held_out = validation + ["test"] * (data_dir / "test").is_dir()
    if not held_out:
        raise KdzooError(f"data_dir {data_dir} has neither test/ nor val/; accepted: {ACCEPTED}")

    images = {split: _find(data_dir / split) for split in (*["train"] * train, *held_out)}
    classes = tuple(next(iter(images.values())))
    images.setdefault("train", {name: [] for name in classes})
    for split in held_out:
        _check_classes(data_dir / split, images[split], classes)
    listing, *rest = (
        FolderListing(data_dir / split, [images[split][name] for name in classes])
        for split in ("train", *held_out)
    )
    if "test" in held_out:
        return Source(listing, rest[0] if validation else None, rest[-1], classes)
    note = f"{data_dir} has no test/: {validation[0]}/ is the test split, validation is cut from train/"
    return Source(listing, None, rest[0], classes, (note,))


def _find(root: Path) -> dict[str, list[str]]:
    """Class name -> its images, both in order."""
    pairs, class_ids = find_images_and_targets(str(root), types=suffixes())
    names = tuple(class_ids)
    found: dict[str, list[str]] = {name: [] for name in names}
    for file, number in pairs:
        if "/." not in f"/{_below(root, file)}":
            found[names[number]].append(file)
    found = {name: files for name, files in found.items() if files}
    if not found:
        raise KdzooError(f"no images below {root}; accepted: {ACCEPTED}, as {', '.join(suffixes())}")
    if "" in found:
        raise KdzooError(f"{found[''][0]} lies outside any class sub-folder; accepted: {ACCEPTED}")
    return found


def images_below(root: Path) -> dict[str, str]:
    """Path below ``root`` -> the file, for every image there; names that begin with a dot are passed over."""
    pairs, _ = find_images_and_targets(str(root), types=suffixes())
    found = {_below(root, file): file for file, _ in pairs}
    return {key: file for key, file in found.items() if "/." not in f"/{key}"}


def _below(root: Path, file: str) -> str:
    """The part of the path below ``root``. Plain strings: paths as objects would double the time of a scan."""
    return file[len(str(root)) + 1 :].replace(os.sep, "/")


def size_and_time(file: str) -> tuple[int, int]:
    """Bytes, and the time of modification in nanoseconds; -1 and -1 for a dangling link."""
    try:
        stat = os.stat(file)
    except OSError:  # decoding will find it unreadable
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


def _check_classes(root: Path, images: Mapping[str, object], classes: Sequence[str]) -> None:
    missing = [name for name in classes if name not in images]
    extra = [name for name in images if name not in classes]
    if missing or extra:
        said = [f"{what} {_some(names)}" for what, names in (("lacks", missing), ("adds", extra)) if names]
        raise KdzooError(
            f"{root} {' and '.join(said)}; accepted: the same class sub-folders with images in every split"
        )


def _some(names: Sequence[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
