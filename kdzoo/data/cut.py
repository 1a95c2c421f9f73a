"""A test split for images that come in no splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from kdzoo.counter_rng import key, permutation
from kdzoo.data.counted import some
from kdzoo.data.file_listing import NO_LABEL, Classes, listing_of
from kdzoo.data.listing import Source
from kdzoo.errors import KdzooError
from kdzoo.recipe.data import DataConfig


def cut(root: Path, images: Classes, config: DataConfig, notes: Sequence[str]) -> Source:
    """Cut a test split off: a seeded ``config.test_fraction`` of each class, and of the images without a label.

    One image at least of each class is tested on, and one is left.

    Args:
        root: the folder that all files are below.
        images: the classes.
        config: has the fraction and the seed.
        notes: what the user should know already; the last says why there are no splits.

    Raises:
        KdzooError: a class has one image only.

    """
    parts: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for name, files in images.items():
        whose = f"class {name}" if name else "it"
        if len(files) < 2:
            raise KdzooError(f"{root}: {whose} has one image; a split into train and test needs two")
        count = min(max(1, round(config.test_fraction * len(files))), len(files) - 1)
        order = permutation(key("test", config.split_seed), torch.arange(len(files))).tolist()
        tested = set(order[:count])
        parts["train"][name] = [file for row, file in enumerate(files) if row not in tested]
        parts["test"][name] = [file for row, file in enumerate(files) if row in tested]
    classes = tuple(name for name in images if name != NO_LABEL)
    train, test = (listing_of(root, part, classes) for part in parts.values())
    of_what = "each class" if classes else "the images"
    note = (
        f"{notes[-1]}: data.test_fraction {config.test_fraction:g} of {of_what} is the test split, chosen by "
        f"data.split_seed {config.split_seed}"
    )
    return Source(train, None, test, classes, (*notes[:-1], note, summary(root, parts, classes)))


def summary(root: Path, splits: Mapping[str, Classes], classes: Sequence[str]) -> str:
    """One line: how many classes, their names, and the images of each split."""
    counts = {split: sum(map(len, images.values())) for split, images in splits.items()}
    said = ", ".join(f"{split} {count}" for split, count in counts.items() if count)
    what = f"{len(classes)} classes ({some(classes)})" if classes else "pictures without classes"
    return f"{root}: {what}; images: {said}"
