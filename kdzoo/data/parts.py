"""Which part of which listing each split is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from kdzoo.data.listing import Listing, Source
from kdzoo.data.split import Split, divide, take
from kdzoo.recipe.data import DataConfig


@dataclass(frozen=True, eq=False)
class Part:
    """A split: some samples of a listing. ``origin`` is the listing's name; a cut validation split's is train."""

    origin: str
    listing: Listing
    split: Split

    def without(self, bad: Collection[int]) -> Part:
        """The same part less these rows of the listing."""
        return Part(self.origin, self.listing, self.split.without(bad))


def choose(source: Source, config: DataConfig, bad: Mapping[str, Collection[int]]) -> dict[str, Part]:
    """The samples of train (unless it is withheld), val (if there is one) and test, less the ``bad`` rows."""
    parts, val = {}, None
    if not config.withhold_train:
        train, val = divide(
            source.train.targets,
            bad.get("train", ()),
            config.split_seed,
            config.val_fraction if source.val is None and source.labelled else 0.0,
            config.train_per_class,
            config.labels_per_class,
        )
        parts["train"] = Part("train", source.train, train)
    if source.val is not None:
        own = take(source.val.targets, bad.get("val", ()), config.split_seed)
        parts["val"] = Part("val", source.val, own)
    elif val is not None:
        parts["val"] = Part("train", source.train, val)
    test = take(source.test.targets, bad.get("test", ()), config.split_seed, config.test_per_class)
    parts["test"] = Part("test", source.test, test)
    return parts


def needed(parts: Mapping[str, Part]) -> dict[str, tuple[Listing, Tensor]]:
    """Listing name -> the listing and the rows (ascending) that some split needs."""
    rows: dict[str, tuple[Listing, Tensor]] = {}
    for part in parts.values():
        _, before = rows.get(part.origin, (part.listing, part.split.index[:0]))
        rows[part.origin] = part.listing, torch.unique(torch.cat([before, part.split.index]))
    return rows


def whole(source: Source, config: DataConfig) -> dict[str, tuple[Listing, Tensor]]:
    """Listing name -> the listing and all its rows, for every listing that may be opened."""
    listings = {
        "train": None if config.withhold_train else source.train,
        "val": source.val,
        "test": source.test,
    }
    return {
        name: (listing, torch.arange(len(listing.targets)))
        for name, listing in listings.items()
        if listing is not None
    }
