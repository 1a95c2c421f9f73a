"""Which samples of a set are decoded ahead, and the splits' images in what was decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor

from kdzoo.data.array_listing import ArrayListing
from kdzoo.data.content import Pixels
from kdzoo.data.form import Form
from kdzoo.data.images import IMAGE, Images
from kdzoo.data.listing import Listing, Source
from kdzoo.data.memory import Memory, to_device
from kdzoo.data.once import Once
from kdzoo.data.pairs import Pairs
from kdzoo.data.parts import Part, choose, needed, whole
from kdzoo.data.shelf import Shelf, Shelves
from kdzoo.errors import KdzooError
from kdzoo.recipe.data import DataConfig

Shelved = Mapping[str, Mapping[str, Shelf]]
"""Modality -> listing name -> its decoded samples."""

_CUT = "held out of train"
"""Stands for a listing: the samples of train on which a run validates, where those are decoded otherwise."""


def decode(
    source: Source,
    pairs: Mapping[str, Pairs],
    config: DataConfig,
    forms: Mapping[str, Form],
    shelves: Shelves,
) -> tuple[dict[str, Part], Shelved]:
    """The parts of the splits, and the shelves that hold them: none if they are too many."""

    def fits(wanted: Mapping[str, tuple[Listing, Tensor]]) -> bool:
        pixels = sum(
            len(rows) * forms[name].side ** 2
            for name, (listing, rows) in wanted.items()
            if not isinstance(listing, ArrayListing)
        )
        return (1 + len(pairs)) * pixels * 3 <= config.cache_gb * 1e9

    def fill(wanted: Mapping[str, tuple[Listing, Tensor]]) -> dict[str, dict[str, Shelf]]:
        filled = {IMAGE: {name: shelves.fill(name, *rows, forms[name]) for name, rows in wanted.items()}}
        for modality, one in pairs.items():
            filled[modality] = {
                name: shelves.fill(
                    f"{modality}-{name}",
                    one.source.train if listing is source.train else getattr(one.source, name),
                    rows,
                    forms[name],
                )
                for name, (listing, rows) in wanted.items()
            }
        return filled

    def bad(shelved: Shelved) -> dict[str, set[int]]:
        return {name: {row for own in shelved.values() for row in own[name].bad} for name in shelved[IMAGE]}

    everything = whole(source, config)
    if fits(everything):
        shelved = fill(everything)
        parts = choose(source, config, bad(shelved))
    else:
        parts = choose(source, config, {})
        wanted = needed(parts)
        if not fits(wanted):
            if pairs:
                raise KdzooError(
                    f"{' and '.join(f'data.paired.{name}' for name in pairs)}: the pairs decode to more than "
                    f"data.cache_gb = {config.cache_gb:g}, and pairs do not stream; raise it or use fewer images "
                    "(data.train_per_class, data.test_per_class)"
                )
            return parts, {}
        shelved = fill(wanted)
        left_out = bad(shelved)
        parts = {name: part.without(left_out[part.origin]) for name, part in parts.items()}
    if "val" in parts and parts["val"].origin == "train" and forms["val"] != forms["train"]:
        cut = fill({"val": (source.train, parts["val"].split.index)})
        parts["val"] = parts["val"].without(bad(cut)["val"])
        shelved = {modality: {**own, _CUT: cut[modality]["val"]} for modality, own in shelved.items()}
    return parts, shelved


def pixels_of(shelved: Shelved) -> Pixels:
    """The digests of the shelves; the samples held out of train have that of train."""
    return {
        modality: {name: shelf.digest for name, shelf in own.items() if name != _CUT}
        for modality, own in shelved.items()
    }


def unreadable(source: Source, pairs: Mapping[str, Pairs], shelved: Shelved) -> Iterator[tuple[str, str]]:
    """Images that could not be read, and why; one that has no partner was reported as such."""
    for modality, own in shelved.items():
        for name, shelf in own.items():
            origin = "train" if name == _CUT else name
            listing = getattr(source if modality == IMAGE else pairs[modality].source, origin)
            alone = pairs[modality].alone[origin] if modality in pairs else ()
            yield from ((listing.names[row], reason) for row, reason in shelf.bad.items() if row not in alone)


def from_memory(
    parts: Mapping[str, Part], shelved: Mapping[str, Shelf], device: torch.device, once: Once
) -> Mapping[str, Images]:
    """Split -> its images on the shelves of one modality."""
    stores = {
        name: once.get(("store", id(shelf), device), partial(to_device, shelf.images, device))
        for name, shelf in shelved.items()
    }
    held_out = _CUT if _CUT in shelved else "train"

    def images(name: str, part: Part) -> Images:
        kept = held_out if name == "val" and part.origin == "train" else part.origin
        shelf = shelved[kept]
        return Memory(stores[kept], shelf.position(part.split.index), device, shelf.check, shelf.sizes)

    return {name: images(name, part) for name, part in parts.items()}
