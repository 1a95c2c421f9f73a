"""Anything that ``timm.data.create_dataset`` reads, by its prefixes: torchvision, Hugging Face, TFDS, tar shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from timm.data import IterableImageDataset, create_dataset

from kdzoo.data.array_listing import ArrayListing
from kdzoo.data.listing import Listing, Source
from kdzoo.data.timm_listing import TimmListing, drain
from kdzoo.errors import KdzooError

_SMALL = "cifar10", "cifar100", "mnist", "kmnist", "fashion_mnist", "qmnist"
TORCH_NAMES = tuple(f"torch/{name}" for name in (*_SMALL, "imagenet", "places365", "inaturalist"))
HUB_PREFIXES = ("hfds/", "hfids/", "tfds/", "wds/")
KNOWN = (*TORCH_NAMES, *(f"{prefix}NAME" for prefix in HUB_PREFIXES))


def reads(name: str) -> bool:
    """Whether timm reads a data set of this name."""
    return name in TORCH_NAMES or (name.startswith(HUB_PREFIXES) and name not in HUB_PREFIXES)


def scan(name: str, root: Path | None, img_size: int | None, limit_bytes: float) -> Source:
    """Open the splits of a timm data set: train, validation if it has one beside test, and test.

    Where only one of validation and test can be opened and has labels, it is the test split, and a validation
    split is left to be cut from train. What timm reads only as a stream (``hfids/``, ``tfds/``, ``wds/``) is
    read into memory once, in its own order, as samples need a position that they keep.

    Args:
        name: prefix and name, which timm :func:`reads`.
        root: where it lies, or where the library that reads it keeps its cache.
        img_size: what streams are decoded to; default: as their first image, or 224.
        limit_bytes: the most that one split of a stream may decode to.

    Raises:
        KdzooError: a package is missing, or a split cannot be opened.

    """

    def listed(which: str, dataset: Any) -> Listing:
        what = f"{name} {which}"
        if isinstance(dataset, IterableImageDataset):
            return drain(what, dataset, img_size, limit_bytes)
        return TimmListing(what, dataset, root)

    opened = _create(name, root, "train")
    train = listed("train", opened)
    if isinstance(train, ArrayListing):
        img_size = train.images.shape[1]  # for the other splits too
    classes = _classes(opened) or tuple(str(number) for number in range(int(train.targets.max()) + 1))
    if name in TORCH_NAMES:  # these have two parts, and timm opens the second under any name but train
        return Source(train, None, listed("test", _create(name, root, "validation")), classes)
    found, failures = {}, []
    for which in ("validation", "test"):
        try:
            opened = _create(name, root, which)
        except KdzooError as error:
            failures.append(str(error))
            continue
        listing = listed(which, opened)
        if listing.targets.min() >= 0:  # public test splits often come with all labels set to -1
            found[which] = listing
    if not found:
        raise KdzooError(
            f"{name} has no labelled split to test on: {'; '.join(failures) or 'all labels are -1'}"
        )
    if len(found) == 2:
        return Source(train, found["validation"], found["test"], classes)
    if "test" in found:
        return Source(train, None, found["test"], classes)
    note = f"{name} has no labelled test split: its validation split is the test split, validation is cut from train"
    return Source(train, None, found["validation"], classes, (note,))


def _create(name: str, root: Path | None, split: str) -> Any:
    if name in TORCH_NAMES and root is None:
        raise KdzooError(f"data set {name!r} needs data_dir, the folder where torchvision finds it unpacked")
    try:
        return create_dataset(name, root=None if root is None else str(root), split=split)
    except ImportError as error:
        raise KdzooError(
            f"data set {name!r} needs the package {error.name}: pip install {error.name}"
        ) from error
    except Exception as error:  # each of the libraries behind timm raises its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise KdzooError(
            f"timm cannot open the split {split!r} of {name!r} (data_dir {root}): {reason}"
        ) from error


def _classes(dataset: Any) -> tuple[str, ...]:
    class_ids = getattr(getattr(dataset, "reader", None), "class_to_idx", None)
    if class_ids:
        return tuple(str(name) for name in sorted(class_ids, key=class_ids.__getitem__))
    return tuple(str(name) for name in getattr(dataset, "classes", ()))
