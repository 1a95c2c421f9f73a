"""The one entry point: from a configuration to three splits that yield batches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from kdzoo.api.batch import UNLABELLED
from kdzoo.cores import available_cores
from kdzoo.data.array_listing import ArrayListing
from kdzoo.data.augment import Augment
from kdzoo.data.dataset import DataSet, hashes
from kdzoo.data.decode import Progress, sniff_side
from kdzoo.data.defaults import default_augment, with_defaults
from kdzoo.data.listing import Listing, Source
from kdzoo.data.memory import Memory, to_device
from kdzoo.data.mix import Mix
from kdzoo.data.modality import COMPUTED
from kdzoo.data.once import Once
from kdzoo.data.pairs import Pairs, match
from kdzoo.data.parts import Part, choose, needed, whole
from kdzoo.data.room import check_room
from kdzoo.data.shelf import Shelf, Shelves
from kdzoo.data.source import data_name, find_source
from kdzoo.data.split import Split
from kdzoo.data.stream import IMAGE, Images, Share, Stream, TrainStream
from kdzoo.data.streaming import Streaming
from kdzoo.errors import KdzooError
from kdzoo.recipe.model import AugmentConfig, DataConfig
from kdzoo.zoo import Zoo


def open_data(
    config: DataConfig,
    *,
    seed: int,
    device: torch.device,
    channels_last: bool = True,
    rank: int = 0,
    world: int = 1,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] = lambda message: None,
    once: Once | None = None,
    zoo: Zoo | None = None,
) -> DataSet:
    """Open a data set: find its samples, decode them unless they are too many or were before, split them.

    A set that decodes to at most ``config.cache_gb`` is decoded as a whole, so that every subset of it finds it
    in the cache. Of a larger one the samples that the splits need are decoded, if they are few enough; else
    they are read anew in every epoch.

    Args:
        config: what to open.
        seed: of the shuffling and the augmentation.
        device: where the batches are wanted.
        channels_last: memory format of the images.
        rank: of this process.
        world: number of processes.
        cache_dir: where decoded sets are kept; default: the user's cache, or ``KDZOO_CACHE``.
        progress: is told how far decoding and checking are: label, images done, images in total.
        warn: is told of stored images that are damaged, and of unreadable images that are met in a set that streams.
        once: what other data sets have found and decoded already; what this one finds is added to it.
        zoo: whose plugins may have the data set; default: those that are installed.

    Raises:
        KdzooError: anything about the data that the user can put right.

    """
    started = time.perf_counter()
    once = once or Once()
    source = once.get(("source", *_origin(config)), lambda: find_source(config, zoo))
    img_size = _side(config, source)
    pairs = {
        name: once.get(
            ("pairs", id(source), name, root, config.bad_images),
            partial(match, name, root.expanduser(), source, config.bad_images),
        )
        for name, root in config.paired.items()
    }
    scanned = time.perf_counter() - started

    shelves = Shelves(config, img_size, cache_dir, progress, warn, once)
    parts, shelved = _decode(source, pairs, config, shelves)
    skipped = [*_unreadable(source, pairs, shelved)]

    def meet(name: str) -> None:
        skipped.append(name)
        warn(f"{name}: unreadable image, left out")

    if shelved:
        images = {modality: _from_memory(parts, own, device, once) for modality, own in shelved.items()}
    else:
        workers = max(1, available_cores() // world) if config.workers is None else config.workers
        images = {IMAGE: {
            name: Streaming(
                part.listing, part.split.index, img_size=img_size, workers=workers, device=device,
                tolerated=config.bad_images, what=f"the split {name}", skipped=meet,
            )
            for name, part in parts.items()
        }}  # fmt: skip
    computed = {name: COMPUTED[how] for name, how in config.computed.items()}
    compute = {name: kind.compute for name, kind in computed.items()}
    paired = {name: {modality: images[modality][name] for modality in pairs} for name in parts}

    channels = _channels(source.train)
    largest = min(config.batch_size, max(len(part.split.index) for part in parts.values()))
    check_room("data.batch_size", largest, img_size, 4 * channels)  # float32
    augment = with_defaults(config.augment, default_augment(data_name(config), img_size, source.mirror))
    if augment.crop > img_size:
        raise KdzooError(
            f"data.augment.crop {augment.crop}: at most the side of the images, {img_size} pixels"
        )
    streams = {
        name: Stream(
            part.split, len(part.listing.targets), images[IMAGE][name], batch_size=config.batch_size,
            device=device, channels_last=channels_last, share=Share(rank, world), paired=paired[name],
            computed=compute,
        )
        for name, part in parts.items() if name != "train"
    }  # fmt: skip
    train = None if config.withhold_train else TrainStream(
        parts["train"].split, len(source.train.targets), images[IMAGE]["train"], batch_size=config.batch_size,
        device=device, channels_last=channels_last, share=Share(rank, world), paired=paired["train"],
        computed=compute, seed=seed,
        augment=Augment(augment, seed), mix=_mix(augment, parts["train"].split, len(source.classes), seed),
        views=config.views,
    )  # fmt: skip
    pixels = {
        modality: {name: shelf.digest for name, shelf in own.items()} for modality, own in shelved.items()
    } or {IMAGE: {part.origin: part.listing.manifest for part in parts.values()}}
    seen, content = hashes(parts, pixels, source.classes, img_size, config.computed)
    by_modality = {
        modality: hashes(
            parts,
            {name: own for name, own in pixels.items() if name in (IMAGE, modality)},
            source.classes,
            img_size,
            {name: kind for name, kind in config.computed.items() if name == modality},
        )[1]
        for modality in (IMAGE, *pairs, *computed)
    }
    return DataSet(
        training=train,
        val=streams.get("val"),
        test=streams["test"],
        classes=source.classes,
        channels={
            IMAGE: channels,
            **dict.fromkeys(pairs, 3),
            **{name: kind.channels(channels) for name, kind in computed.items()},
        },
        img_size=img_size,
        augment=augment,
        hash=seen,
        content_hash=content,
        content_hashes=by_modality,
        names=source.train.keys,
        timing={"scan": scanned, "decode": shelves.seconds},
        notes=(
            *source.notes,
            *(note for one in pairs.values() for note in one.source.notes),
            *_few_steps(config, train),
        ),
        streams=not shelved,
        unreadable=skipped,
    )


def _origin(config: DataConfig) -> tuple[Hashable, ...]:
    """Everything in the configuration that :func:`find_source` goes by."""
    options = json.dumps(config.options, sort_keys=True, default=str)
    return (
        data_name(config),
        options,
        config.data_dir,
        config.img_size,
        config.cache_gb,
        config.withhold_train,
        config.class_depth,
        config.test_fraction,
        config.split_seed,
    )


def _side(config: DataConfig, source: Source) -> int:
    if isinstance(source.train, ArrayListing):
        return int(source.train.images.shape[1])
    listings = (None if config.withhold_train else source.train, source.val, source.test)
    return config.img_size or sniff_side([listing for listing in listings if listing is not None])


def _few_steps(config: DataConfig, train: TrainStream | None) -> Iterator[str]:
    """A warning where an epoch of a folder has fewer than four steps, and a smaller batch has more."""
    if train is not None and data_name(config) == "folder" and config.batch_size > 32 and len(train) < 4:
        steps = f"{len(train)} step{'s' if len(train) > 1 else ''}"
        yield (
            f"{len(train.split)} training images at data.batch_size {config.batch_size} are {steps} an epoch; "
            "a smaller batch (such as 32) learns more in as many epochs"
        )


def _channels(listing: Listing) -> int:
    return int(listing.images.shape[-1]) if isinstance(listing, ArrayListing) else 3


Shelved = Mapping[str, Mapping[str, Shelf]]
"""Modality -> listing name -> its decoded samples."""


def _decode(
    source: Source, pairs: Mapping[str, Pairs], config: DataConfig, shelves: Shelves
) -> tuple[dict[str, Part], Shelved]:
    """The parts of the splits, and the shelves that hold them: none if they are too many."""

    def fits(wanted: Mapping[str, tuple[Listing, Tensor]]) -> bool:
        count = sum(len(rows) for listing, rows in wanted.values() if not isinstance(listing, ArrayListing))
        return (1 + len(pairs)) * count * shelves.img_size**2 * 3 <= config.cache_gb * 1e9

    def fill(wanted: Mapping[str, tuple[Listing, Tensor]]) -> Shelved:
        filled = {IMAGE: {name: shelves.fill(name, *rows) for name, rows in wanted.items()}}
        for modality, one in pairs.items():
            filled[modality] = {
                name: shelves.fill(f"{modality}-{name}", getattr(one.source, name), rows)
                for name, (_, rows) in wanted.items()
            }
        return filled

    def bad(shelved: Shelved) -> dict[str, set[int]]:
        return {name: {row for own in shelved.values() for row in own[name].bad} for name in shelved[IMAGE]}

    everything = whole(source, config)
    if fits(everything):
        shelved = fill(everything)
        return choose(source, config, bad(shelved)), shelved
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
    return {name: part.without(left_out[part.origin]) for name, part in parts.items()}, shelved


def _unreadable(source: Source, pairs: Mapping[str, Pairs], shelved: Shelved) -> Iterator[str]:
    """The names of images that could not be read; one that has no partner was reported as such."""
    for modality, own in shelved.items():
        for name, shelf in own.items():
            listing = getattr(source if modality == IMAGE else pairs[modality].source, name)
            alone = pairs[modality].alone[name] if modality in pairs else ()
            yield from (listing.names[row] for row in shelf.bad if row not in alone)


def _from_memory(
    parts: Mapping[str, Part], shelved: Mapping[str, Shelf], device: torch.device, once: Once
) -> Mapping[str, Images]:
    stores = {
        name: once.get(("store", id(shelf), device), partial(to_device, shelf.images, device))
        for name, shelf in shelved.items()
    }
    return {
        name: Memory(stores[part.origin], shelf.position(part.split.index), device, shelf.check)
        for name, part in parts.items()
        for shelf in (shelved[part.origin],)
    }


def _mix(augment: AugmentConfig, train: Split, classes: int, seed: int) -> Mix | None:
    if not (augment.mixup or augment.cutmix):
        return None
    if bool((train.target == UNLABELLED).any()):
        raise KdzooError(
            "data.augment.mixup and data.augment.cutmix blend labels, and data.labels_per_class withholds some; "
            "use one or the other"
        )
    return Mix(augment.mixup, augment.cutmix, classes, seed)
