"""The one entry point: from a configuration to three splits that yield batches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from kdzoo.api.batch import UNLABELLED
from kdzoo.cores import available_cores
from kdzoo.data import reinforced
from kdzoo.data.array_listing import ArrayListing
from kdzoo.data.augment import Augment
from kdzoo.data.dataset import DataSet, hashes
from kdzoo.data.decode import USUAL_SIDE, Progress, sniff_side
from kdzoo.data.defaults import default_augment, with_defaults
from kdzoo.data.doubts import tell_doubts
from kdzoo.data.form import Canvas, Evaluated, Form, Square
from kdzoo.data.listing import Listing, Source
from kdzoo.data.memory import Memory, to_device
from kdzoo.data.mix import Labels, Mix
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
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.evaluation import TIMM, WHOLE, Evaluation
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
    evaluation: Evaluation = TIMM,
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
        evaluation: how photographs are prepared for evaluation, where the configuration does not say it.

    Raises:
        KdzooError: anything about the data that the user can put right.

    """
    started = time.perf_counter()
    taught = reinforced.find(config)
    if taught is not None:
        config = taught.config(config)
    once = once or Once()
    source = once.get(("source", *_origin(config)), lambda: find_source(config, zoo))
    own = once.get(("own side", id(source)), partial(_own_side, config, source))
    img_size = config.img_size or own or USUAL_SIDE
    if own is not None and isinstance(source.train, ArrayListing):
        img_size = own
    augment = _augment(config, source, img_size, own is None)
    how = _evaluation(config, source, evaluation, own is None)
    forms = _forms(config, img_size, own is None and augment.scale is not None, how)
    once.get(("doubts", id(source)), partial(tell_doubts, source, config, cache_dir, warn))
    pairs = {
        name: once.get(
            ("pairs", id(source), name, root, config.bad_images),
            partial(match, name, root.expanduser(), source, config.bad_images),
        )
        for name, root in config.paired.items()
    }
    scanned = time.perf_counter() - started

    shelves = Shelves(config, cache_dir, progress, warn, once)
    parts, shelved = _decode(source, pairs, config, forms, shelves)
    skipped = dict(_unreadable(source, pairs, shelved))
    vary = Augment(augment, seed if taught is None else taught.facts.seed, img_size)

    def meet(name: str, reason: str) -> None:
        skipped[name] = reason
        warn(f"{name}: unreadable image, left out: {reason}")

    if shelved:
        images = {modality: _from_memory(parts, own, device, once) for modality, own in shelved.items()}
    else:
        workers = max(1, available_cores() // world) if config.workers is None else config.workers
        bad = {
            name: shelves.check(name, part.listing, part.split.index)
            for name, part in parts.items() if name != "train"
        }  # fmt: skip
        skipped.update(pair for found in bad.values() for pair in found.items())
        images = {IMAGE: {
            name: Streaming(
                part.listing, part.split.index, form=forms[name],
                view=vary.crops if isinstance(forms[name], Canvas) else None, workers=workers, device=device,
                tolerated=config.bad_images, what=f"the split {name}", skipped=meet, bad=bad.get(name),
            )
            for name, part in parts.items()
        }}  # fmt: skip
    computed = {name: COMPUTED[how] for name, how in config.computed.items()}
    compute = {name: kind.compute for name, kind in computed.items()}
    paired = {name: {modality: images[modality][name] for modality in pairs} for name in parts}

    channels = _channels(source.train)
    largest = min(config.batch_size, max(len(part.split.index) for part in parts.values()))
    check_room("data.batch_size", largest, img_size, 4 * channels)  # float32
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
        augment=vary, mix=_mix(augment, parts["train"].split, len(source.classes), seed),
        drop_last=config.drop_last,
        balance=_balance(config, parts["train"].split),
        views=config.views,
        pick=None if taught is None else partial(taught.drawn, seed),
    )  # fmt: skip
    pixels = {
        modality: {name: shelf.digest for name, shelf in own.items() if name != _CUT}
        for modality, own in shelved.items()
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
    opened = DataSet(
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
        found=tuple(shelves.found),
        unreadable=skipped,
        evaluation=how,
        unlabelled=not (config.withhold_train or source.labelled),
        reinforced=taught,
    )
    if taught is not None:
        taught.check(opened.content, [opened.names[row] for row in opened.train.split.index.tolist()])
    return opened


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
        config.unlabelled,
        config.allow_missing,
        config.labels_file,
        config.test_fraction,
        config.split_seed,
    )


def _own_side(config: DataConfig, source: Source) -> int | None:
    """The side of images that are all alike; None for photographs."""
    if isinstance(source.train, ArrayListing):
        return int(source.train.images.shape[1])
    listings = (None if config.withhold_train else source.train, source.val, source.test)
    return sniff_side([listing for listing in listings if listing is not None])


def _augment(config: DataConfig, source: Source, img_size: int, photographs: bool) -> AugmentConfig:
    default = default_augment(data_name(config), img_size, source.mirror, photographs)
    augment = with_defaults(config.augment, default)
    if augment.crop > img_size:
        raise KdzooError(
            f"data.augment.crop {augment.crop}: at most the side of the images, {img_size} pixels"
        )
    return augment


def _evaluation(
    config: DataConfig, source: Source, usual: Evaluation, photographs: bool
) -> Evaluation | None:
    """How images are prepared for evaluation; None for tiny ones, which are taken as they are."""
    given = {"crop_pct": config.crop_pct, "interpolation": config.interpolation}
    given = {name: value for name, value in given.items() if value is not None}
    if given and isinstance(source.train, ArrayListing):
        raise KdzooError(
            f"data.{' and data.'.join(given)}: the images of {data_name(config)!r} come decoded, and are taken as "
            "they are"
        )
    if not (photographs or given):
        return None
    return replace(usual if photographs else WHOLE, **given)  # type: ignore[arg-type]  # as the configuration checks


def _forms(config: DataConfig, img_size: int, canvas: bool, evaluation: Evaluation | None) -> dict[str, Form]:
    """The form in which each split is kept."""
    square = Square(img_size)
    held_out = square if evaluation is None else Evaluated(img_size, evaluation)
    train = Canvas(round(config.canvas * img_size)) if canvas else square
    return {"train": train, "val": held_out, "test": held_out}


def _few_steps(config: DataConfig, train: TrainStream | None) -> Iterator[str]:
    """A warning where an epoch of a folder has fewer than four steps, and a smaller batch has more."""
    if train is not None and data_name(config) == "folder" and config.batch_size > 32 and len(train) < 4:
        steps = f"{len(train)} step{'s' if len(train) > 1 else ''}"
        yield (
            f"{len(train.split)} training images at data.batch_size {config.batch_size} are {steps} an epoch; "
            "a smaller batch (such as 32) learns more in as many epochs"
        )


def _balance(config: DataConfig, train: Split) -> bool:
    if config.sampling and bool((train.target == UNLABELLED).any()):
        raise KdzooError("data.sampling balanced needs the label of every training image, and some have none")
    return config.sampling is not None


def _channels(listing: Listing) -> int:
    return int(listing.images.shape[-1]) if isinstance(listing, ArrayListing) else 3


Shelved = Mapping[str, Mapping[str, Shelf]]
"""Modality -> listing name -> its decoded samples."""

_CUT = "held out of train"
"""Stands for a listing: the samples of train on which a run validates, where those are decoded otherwise."""


def _decode(
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


def _unreadable(source: Source, pairs: Mapping[str, Pairs], shelved: Shelved) -> Iterator[tuple[str, str]]:
    """Images that could not be read, and why; one that has no partner was reported as such."""
    for modality, own in shelved.items():
        for name, shelf in own.items():
            origin = "train" if name == _CUT else name
            listing = getattr(source if modality == IMAGE else pairs[modality].source, origin)
            alone = pairs[modality].alone[origin] if modality in pairs else ()
            yield from ((listing.names[row], reason) for row, reason in shelf.bad.items() if row not in alone)


def _from_memory(
    parts: Mapping[str, Part], shelved: Mapping[str, Shelf], device: torch.device, once: Once
) -> Mapping[str, Images]:
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


def _mix(augment: AugmentConfig, train: Split, classes: int, seed: int) -> Mix | None:
    if not (augment.mixup or augment.cutmix):
        return None
    withheld = train.target == UNLABELLED
    labels: Labels = "none" if bool(withheld.all()) else "some" if bool(withheld.any()) else "all"
    return Mix(augment, classes, seed, labels)
