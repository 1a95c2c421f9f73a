"""Tar shards in webdataset's layout, read at random: indexed once, and each image from its place in its shard."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from kdzoo.api.batch import UNLABELLED
from kdzoo.data.class_folders import in_order
from kdzoo.data.counted import some
from kdzoo.data.file_listing import size_and_time
from kdzoo.data.folder import VALIDATION
from kdzoo.data.formats import suffixes
from kdzoo.data.listing import Targets, digest
from kdzoo.errors import KdzooError

_SPLITS: Mapping[str, tuple[str, ...]] = {"train": ("train",), "validation": VALIDATION, "test": ("test",)}
_INFO = "_info.json", "info.json"
_NAME = re.compile(r"^((?:.*/|)[^/.]+)[.]([^/]+)$")
"""webdataset's: the files of a sample have one name up to the first dot."""


_NUMBER = re.compile(r"-?\d{1,9}$")
_LARGEST = 1 << 20
"""Bytes of a file that may hold a label."""


class _Sample(NamedTuple):
    """A sample: its name, in which shard its image lies, at which byte and of what size; its label, or nothing."""

    key: str
    shard: int
    offset: int
    size: int
    label: str


class TarListing:
    """The samples of tar shards.

    Args:
        shards: the files.
        samples: what they hold.
        targets: (n,) class ids.

    """

    def __init__(self, shards: Sequence[Path], samples: Sequence[_Sample], targets: Targets) -> None:
        self._shards = tuple(shards)
        self._places = np.asarray([(one.shard, one.offset, one.size) for one in samples], np.int64)
        self.names = self.keys = tuple(one.key for one in samples)
        self.targets = targets

    def load(self, row: int) -> Image.Image:
        """The image with its header read."""
        shard, offset, size = self._places[row].tolist()
        with self._shards[shard].open("rb") as file:
            file.seek(offset)
            return Image.open(io.BytesIO(file.read(size)))

    @cached_property
    def stamp(self) -> str:
        """Digest of the shards' places, sizes and times of modification, and of what they hold."""
        facts = (fact for shard in self._shards for fact in (shard.resolve(), *size_and_time(str(shard))))
        return digest((self.manifest, *facts))

    @cached_property
    def manifest(self) -> str:
        """Digest of the samples' names and the images' sizes."""
        return digest((*self.keys, *self._places[:, 2].tolist()))


def find_shards(root: Path) -> dict[str, list[Path]]:
    """The shards of the splits train, validation and test: of those that there are.

    timm's ``_info.json`` names them; without it, the first split whose name is a part of a shard's path below
    ``root`` has that shard.

    Raises:
        KdzooError: there are none, or the description is not timm's.

    """
    if not root.is_dir():
        raise KdzooError(f"data_dir {root} is not a folder; accepted: a folder with the tar shards")
    described = next((root / name for name in _INFO if (root / name).is_file()), None)
    if described is not None:
        return _described(described)
    found: dict[str, list[Path]] = {}
    shards = sorted(root.rglob("*.tar"))
    for split, names in _SPLITS.items():
        words = re.compile(rf"(^|[^a-z])({'|'.join(names)})([^a-z]|$)")
        own = [one for one in shards if words.search(one.relative_to(root).as_posix().lower())]
        if own:
            found[split] = own
            shards = [one for one in shards if one not in set(own)]
    if not found:
        raise KdzooError(
            f"{root} has no {_INFO[0]} and no .tar with train, val or test in its name; accepted: shards such as "
            "train-0000.tar"
        )
    return found


def _described(file: Path) -> dict[str, list[Path]]:
    try:
        splits = json.loads(file.read_text(encoding="utf-8"))["splits"]
        named = {name: [file.parent / one for one in split["filenames"]] for name, split in splits.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise KdzooError(f"{file} is not timm's description of shards: splits, each with filenames") from None
    found = {split: named[name] for split, names in _SPLITS.items() for name in names if name in named}
    missing = [str(one) for shards in found.values() for one in shards if not one.is_file()]
    if missing or not found:
        what = f"shards that are not there: {some(missing, 3)}" if missing else "no split"
        raise KdzooError(f"{file} names {what}; accepted: train, validation, test, each with its shards")
    return found


def read_shards(found: Mapping[str, Sequence[Path]]) -> tuple[dict[str, TarListing], tuple[str, ...]]:
    """Index the shards of each split: the image and the label of each sample; and the class names.

    A label is a ``.cls`` with a whole number or a name, or the field ``label`` of a ``.json``; a sample without one,
    or with a negative number, is unlabelled. If all are numbers they are the class ids; else the names are numbered
    in timm's order. The first image of a sample counts.

    Raises:
        KdzooError: a shard cannot be read as an uncompressed tar, or a split has no images.

    """
    indexed = {split: list(_samples(shards)) for split, shards in found.items()}
    for split, samples in indexed.items():
        if not samples:
            raise KdzooError(f"no images in {some([str(one) for one in found[split]], 3)}")
    labels = {one.label for samples in indexed.values() for one in samples if one.label}
    if all(_NUMBER.match(label) for label in labels):
        ids = {label: max(int(label), UNLABELLED) for label in labels}
        classes = tuple(str(number) for number in range(max(ids.values(), default=UNLABELLED) + 1))
    else:
        classes = tuple(in_order(list(labels)))
        ids = {name: number for number, name in enumerate(classes)}
    listings = {
        split: TarListing(
            found[split],
            samples,
            np.asarray([ids.get(one.label, UNLABELLED) for one in samples], np.int64),
        )
        for split, samples in indexed.items()
    }
    return listings, classes


def _samples(shards: Sequence[Path]) -> Iterator[_Sample]:
    """Every sample that has an image."""
    for number, shard in enumerate(shards):
        try:
            with tarfile.open(shard, "r:") as archive:
                for name, group in groupby(_members(archive), key=lambda one: one[0]):
                    yield from _sample(archive, number, f"{shard.name}/{name}", [one[1:] for one in group])
        except (OSError, tarfile.TarError) as error:
            reason = getattr(error, "strerror", None) or error
            raise KdzooError(f"{shard} cannot be read as an uncompressed tar: {reason}") from None


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """Name, suffix and entry of each file; names that begin with a dot are passed over."""
    for entry in archive:
        parts = _NAME.match(entry.name)
        if parts is not None and entry.isfile():
            yield parts[1], parts[2].lower(), entry


def _sample(
    archive: tarfile.TarFile, shard: int, key: str, files: Sequence[tuple[str, tarfile.TarInfo]]
) -> Iterator[_Sample]:
    image = next((entry for kind, entry in files if f".{kind.rpartition('.')[2]}" in suffixes()), None)
    label = next((found for kind, entry in files if (found := _label(archive, kind, entry))), "")
    if image is not None:
        yield _Sample(key, shard, image.offset_data, image.size, label)


def _label(archive: tarfile.TarFile, kind: str, entry: tarfile.TarInfo) -> str:
    """What a ``.cls`` or ``.json`` says; empty for any other file."""
    if kind not in ("cls", "json") or entry.size > _LARGEST:
        return ""
    content = archive.extractfile(entry)
    text = "" if content is None else content.read().decode("utf-8", errors="replace").strip()
    if kind == "cls":
        return text
    try:
        described = json.loads(text)
    except ValueError:
        return ""
    found = described.get("label") if isinstance(described, dict) else None
    return str(found) if isinstance(found, int | str) else ""
