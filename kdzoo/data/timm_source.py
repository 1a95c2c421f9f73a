"""Anything that ``timm.data.create_dataset`` reads, by its prefixes: torchvision, Hugging Face, TFDS, tar shards."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from timm.data import IterableImageDataset, create_dataset

from kdzoo.data.array_listing import ArrayListing
from kdzoo.data.listing import Listing, Source
from kdzoo.data.tar_shards import find_shards, read_shards
from kdzoo.data.timm_listing import TimmListing, drain
from kdzoo.errors import KdzooError
from kdzoo.recipe.data import DataConfig
from kdzoo.zoo.plugin import first_line

_SMALL = "cifar10", "cifar100", "mnist", "kmnist", "fashion_mnist", "qmnist"
TORCH_NAMES = tuple(f"torch/{name}" for name in (*_SMALL, "imagenet", "places365", "inaturalist"))
HUB_PREFIXES = ("hfds/", "hfids/", "tfds/", "wds/")
KNOWN = (*TORCH_NAMES, *(f"{prefix}NAME" for prefix in HUB_PREFIXES))


def reads(name: str) -> bool:
    """Whether timm reads a data set of this name."""
    return name in TORCH_NAMES or (name.startswith(HUB_PREFIXES) and name not in HUB_PREFIXES)


def scan(name: str, root: Path | None, config: DataConfig) -> Source:
    """Open the splits of a timm data set: train, validation if it has one beside test, and test.

    Where only one of validation and test can be opened and has labels, it is the test split, and a validation
    split is left to be cut from train. Tar shards below ``root`` are indexed here, without webdataset. What else timm
    reads only as a stream (``hfids/``, ``tfds/``, shards of other places) is read into memory once, in its own order,
    as samples need a position that they keep.

    Args:
        name: prefix and name, which timm :func:`reads`.
        root: where it lies, or where the library that reads it keeps its cache.
        config: has the size that streams are decoded to (default: as their first image, or 224), the most that one
            split of them may decode to, and as ``options`` further arguments of ``timm.data.create_dataset``.

    Raises:
        KdzooError: a package is missing, or a split cannot be opened.

    """
    if name.startswith("wds/") and root is not None:
        if config.options:
            raise KdzooError("data.options: tar shards in a folder (wds/ with data_dir) take none")
        listings, classes = read_shards(find_shards(root))
        if "train" not in listings:
            raise KdzooError(f"{root} has no shards of the split train")
        return _source(name, listings, classes, "no shards of validation and test")
    create = partial(_create, name, root, _options(name, config))
    img_size = config.img_size

    def listed(which: str, dataset: Any) -> Listing:
        what = f"{name} {which}"
        try:
            if isinstance(dataset, IterableImageDataset):
                return drain(what, dataset, img_size, config.cache_gb * 1e9)
            return TimmListing(what, dataset, root)
        except (KdzooError, MemoryError):
            raise
        except Exception as error:  # as in _create
            raise KdzooError(f"timm cannot read {what}: {first_line(error)}{_columns(dataset)}") from error

    opened = create("train")
    train = listed("train", opened)
    if isinstance(train, ArrayListing):
        img_size = train.images.shape[1]  # for the other splits too
    classes = _classes(opened) or tuple(str(number) for number in range(int(train.targets.max()) + 1))
    if name in TORCH_NAMES:  # these have two parts, and timm opens the second under any name but train
        return Source(train, None, listed("test", create("validation")), classes)
    found, failures = {"train": train}, []
    for which in ("validation", "test"):
        try:
            found[which] = listed(which, create(which))
        except KdzooError as error:
            failures.append(str(error))
    return _source(name, found, classes, "; ".join(failures))


def _source(name: str, found: Mapping[str, Listing], classes: tuple[str, ...], failures: str) -> Source:
    """The splits that have labels: public test splits often come with all of them set to -1."""
    held_out = {which: one for which, one in found.items() if which == "train" or one.targets.max() >= 0}
    train, validation, test = (held_out.get(which) for which in ("train", "validation", "test"))
    assert train is not None
    if test is not None:
        return Source(train, validation, test, classes)
    if validation is None:
        raise KdzooError(f"{name} has no labelled split to test on: {failures or 'all labels are -1'}")
    note = f"{name} has no labelled test split: its validation split is the test split, validation is cut from train"
    return Source(train, None, validation, classes, (note,))


def _columns(dataset: Any) -> str:
    """What a table of Hugging Face calls its columns, as a hint; empty for other data sets."""
    columns = getattr(getattr(getattr(dataset, "reader", None), "dataset", None), "column_names", None)
    if not columns:
        return ""
    named = "data.options.input_key and target_key name others than image and label"
    return f"; its columns are {', '.join(columns)} ({named})"


def _options(name: str, config: DataConfig) -> Mapping[str, Any]:
    """Further arguments of ``timm.data.create_dataset``."""
    taken = {"name", "root", "split", "is_training", "reader"} & config.options.keys()
    if taken:
        raise KdzooError(
            f"data.options.{min(taken)}: kdzoo sets it; options are further arguments of timm's reader"
        )
    # The reader of streams of Hugging Face wants to know a length, which it uses for shuffling alone.
    usual = {"num_samples": 1 << 31, "input_img_mode": ""} if name.startswith("hfids/") else {}
    return {**usual, **config.options}


def _create(name: str, root: Path | None, options: Mapping[str, Any], split: str) -> Any:
    if name in TORCH_NAMES and root is None:
        raise KdzooError(f"data set {name!r} needs data_dir, the folder where torchvision finds it unpacked")
    try:
        with redirect_stdout(io.StringIO()):  # timm prints what to install
            return create_dataset(name, root=None if root is None else str(root), split=split, **options)
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
    """The class names, if the library knows them; empty if not."""
    reader = getattr(dataset, "reader", None)
    if class_ids := getattr(reader, "class_to_idx", None):
        return tuple(str(name) for name in sorted(class_ids, key=class_ids.__getitem__))
    # a stream of Hugging Face that was not prepared knows its columns once it has been read
    features = getattr(getattr(reader, "ds", None), "features", None) or {}
    label = features.get(getattr(reader, "target_key", None))
    return tuple(
        str(name) for name in getattr(label, "names", None) or getattr(dataset, "classes", None) or ()
    )
