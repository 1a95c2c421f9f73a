"""The image folder: ``train/``, ``val/``, ``test/`` with class sub-folders, or class folders alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timm.utils.misc import natural_key

from kdzoo.counter_rng import key, permutation
from kdzoo.data.listing import Source, digest
from kdzoo.data.tree import Tree, suffixes, tree
from kdzoo.errors import KdzooError

VALIDATION = "val", "validation", "valid", "dev"
"""The names of a validation folder."""

ACCEPTED = (
    "a folder with train/ and test/ (or val/), each holding one sub-folder of images per class, or the class "
    "sub-folders alone"
)

_PICTURES = {"image", "images", "img", "imgs"}
_ANSWERS = {"annotation", "annotations", "label", "labels", "mask", "masks", "segmentation", "segmentations"}
"""Folders of an export for detection or segmentation, which are no classes."""

Classes = dict[str, list[str]]
"""Class name -> its files, both in order."""


class FolderListing:
    """The images below one folder, class by class."""

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


def scan(
    data_dir: Path, *, train: bool = True, class_depth: int = 1, test_fraction: float = 0.2, seed: int = 0
) -> Source:
    """Find the splits, the classes and the images of a folder.

    Without ``train`` that folder is not looked into, and may be missing: the classes are those of the other splits.

    The class of an image is the path of the first ``class_depth`` folders below the split, so that folders of one
    name in different parents stay apart. Classes are numbered in timm's natural order. Where there is no
    ``test/``, the validation folder is the test split, as ImageNet-like folders are used, and a validation split
    is left to be cut from train. Class folders without any split folder are split: of each class a seeded
    ``test_fraction`` is the test split.

    Raises:
        KdzooError: a folder is missing or empty, images lie outside class folders, there is one class only, a
            class would vanish, or the classes differ between splits.

    """
    if not data_dir.is_dir():
        what = "is not a folder" if data_dir.exists() else "does not exist"
        raise KdzooError(f"data_dir {data_dir} {what}; accepted: {ACCEPTED}")
    folders = sorted(one.name for one in data_dir.iterdir() if one.name[0] != "." and one.is_dir())
    validation = [name for name in folders if name in VALIDATION]
    held_out = validation + ["test"] * ("test" in folders)
    if folders and not held_out and "train" not in folders:
        images, notes = find(data_dir, class_depth)
        return cut(data_dir, images, test_fraction, seed, notes)
    if train and "train" not in folders:
        raise KdzooError(f"data_dir {data_dir} has no train/; accepted: {ACCEPTED}")
    if len(validation) > 1:
        raise KdzooError(f"data_dir {data_dir} has both {'/ and '.join(validation)}/; keep one of them")
    if not held_out:
        raise KdzooError(f"data_dir {data_dir} has neither test/ nor val/; accepted: {ACCEPTED}")

    splits = [*["train"] * train, *held_out]
    found = {split: find(data_dir / split, class_depth) for split in splits}
    notes = [note for _, said in found.values() for note in said]
    ignored = [f"{name}/" for name in folders if name not in ("train", *held_out)]
    if ignored:
        notes.append(f"{data_dir}: {_some(ignored)} ignored; the splits are train/, {'/, '.join(held_out)}/")
    by_split = {split: images for split, (images, _) in found.items()}
    classes = tuple(by_split[splits[0]])
    for split in held_out:
        _check_classes(data_dir / split, by_split[split], classes)
    by_split.setdefault("train", {name: [] for name in classes})
    listing, *rest = (
        FolderListing(data_dir / split, [by_split[split][name] for name in classes])
        for split in ("train", *held_out)
    )
    val, test = (rest[0], rest[1]) if len(rest) > 1 else (None, rest[0])
    if "test" not in held_out:
        notes.insert(
            0, f"{data_dir} has no test/: {validation[0]}/ is the test split, validation is cut from train/"
        )
    return Source(listing, val, test, classes, (*notes, summary(data_dir, by_split, classes)))


def find(root: Path, class_depth: int) -> tuple[Classes, list[str]]:
    """The classes below a folder with their files, and what the user should know of what was left out.

    Raises:
        KdzooError: as for :func:`scan`.

    """
    below = tree(root)
    if not below.images:
        raise KdzooError(f"no images below {root}; accepted: {ACCEPTED}, as {', '.join(suffixes())}")
    found: Classes = {}
    for name in below.images:
        found.setdefault(_class(name, class_depth), []).append(f"{root}/{name}")
    if "" in found:
        where = (
            "any class sub-folder" if class_depth == 1 else f"data.class_depth = {class_depth} sub-folders"
        )
        raise KdzooError(f"{found[''][0]} lies outside {where}; accepted: {ACCEPTED}")
    _check_vanished(root, below, class_depth, found)
    found = {name: found[name] for name in sorted(found, key=lambda name: (natural_key(name), name))}
    _check_task(root, found)
    inner = sorted({_class(name, class_depth + 1) for name in below.images} - {""})
    notes = []
    if inner:
        notes.append(
            f"{root}: classes are {_some(list(found))}; the folders within them, such as {inner[0]}, are none "
            f"(data.class_depth {class_depth + 1} makes them classes)"
        )
    if below.others:
        notes.append(
            f"{root}: {_count(len(below.others), 'file')} left out by suffix: {_kinds(below.others)}"
        )
    if below.again:
        notes.append(
            f"{root}: {_count(len(below.again), 'link')} left out, to what is there already: {_some(below.again)}"
        )
    return found, notes


def cut(root: Path, images: Classes, fraction: float, seed: int, notes: Iterable[str]) -> Source:
    """Cut a test split off images that come in no splits: a seeded ``fraction`` of each class.

    One image at least of each class is tested on, and one is left.

    Raises:
        KdzooError: a class has one image only.

    """
    parts: dict[str, Classes] = {"train": {}, "test": {}}
    for name, files in images.items():
        if len(files) < 2:
            raise KdzooError(f"{root}: class {name} has one image; a split into train and test needs two")
        count = min(max(1, round(fraction * len(files))), len(files) - 1)
        order = permutation(key("test", seed), torch.arange(len(files))).tolist()
        tested = set(order[:count])
        parts["train"][name] = [file for row, file in enumerate(files) if row not in tested]
        parts["test"][name] = [file for row, file in enumerate(files) if row in tested]
    train, test = (FolderListing(root, list(part.values())) for part in parts.values())
    note = f"{root} has no train/ and test/: data.test_fraction {fraction:g} of each class is the test split"
    return Source(
        train, None, test, tuple(images), (*notes, f"{note}, chosen by data.split_seed {seed}",
        summary(root, parts, tuple(images))),
    )  # fmt: skip


def summary(root: Path, splits: Mapping[str, Classes], classes: Sequence[str]) -> str:
    """One line: how many classes, their names, and the images of each split."""
    counts = {split: sum(map(len, images.values())) for split, images in splits.items()}
    said = ", ".join(f"{split} {count}" for split, count in counts.items() if count)
    return f"{root}: {len(classes)} classes ({_some(classes)}); images: {said}"


def images_below(root: Path) -> dict[str, str]:
    """Path below ``root`` -> the file, for every image there; names that begin with a dot are passed over."""
    return {name: f"{root}/{name}" for name in tree(root).images}


def _class(name: str, depth: int) -> str:
    """The first ``depth`` folders of a path; empty if there are fewer."""
    parts = name.split("/")
    return "/".join(parts[:depth]) if len(parts) > depth else ""


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


def _check_vanished(root: Path, below: Tree, depth: int, found: Classes) -> None:
    """Refuse a class folder that holds files, and none that is taken."""
    for name in below.others:
        if (gone := _class(name, depth)) and gone not in found:
            inside = [other for other in below.others if _class(other, depth) == gone]
            raise KdzooError(
                f"{root}/{gone} holds no image that can be read ({_kinds(inside)}), so its class would vanish; "
                f"remove the folder, or convert its files to one of {', '.join(suffixes())}"
            )
    for name in below.again:
        above = name.split("/")[:depth]
        is_class = len(above) == depth and not (os.path.isfile(f"{root}/{name}") and name.count("/") < depth)
        if is_class and "/".join(above) not in found:
            raise KdzooError(
                f"{root}/{name} is a link to what is there already, so the class {'/'.join(above)} would vanish; "
                "remove the link"
            )


def _check_task(root: Path, found: Classes) -> None:
    """Refuse what is no classification: one class, or images beside their masks."""
    names = {name.lower() for name in found}
    if len(found) == 1:
        (name, files), *_ = found.items()
        raise KdzooError(
            f"{root} has the one class {name} ({_count(len(files), 'image')}), and there is nothing to tell "
            "apart; if the classes are folders further down, set data.class_depth"
        )
    if names & _PICTURES and names - _PICTURES <= _ANSWERS:
        raise KdzooError(
            f"{root} holds {_some(list(found))}: images beside their annotations, and no classes; "
            f"accepted: {ACCEPTED}"
        )


def _check_classes(root: Path, images: Mapping[str, object], classes: Sequence[str]) -> None:
    missing = [name for name in classes if name not in images]
    extra = [name for name in images if name not in classes]
    if missing or extra:
        said = [f"{what} {_some(names)}" for what, names in (("lacks", missing), ("adds", extra)) if names]
        raise KdzooError(
            f"{root} {' and '.join(said)}; accepted: the same class sub-folders with images in every split"
        )


def _kinds(names: Iterable[str]) -> str:
    """How many files there are of each suffix."""
    kinds = Counter(os.path.splitext(name)[1].lower() or "without suffix" for name in names)
    return _some([f"{count} {kind}" for kind, count in kinds.most_common()])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"


def _some(names: Sequence[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
