"""The one entry point: from a configuration to three splits that yield batches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from pathlib import Path

import torch

from kdzoo.api.batch import UNLABELLED
from kdzoo.cores import available_cores
from kdzoo.data import reinforced
from kdzoo.data.array_listing import ArrayListing
from kdzoo.data.augment import Augment
from kdzoo.data.content import hashes
from kdzoo.data.dataset import DataSet
from kdzoo.data.decode import USUAL_SIDE, Progress
from kdzoo.data.decoded import decode, from_memory, pixels_of, unreadable
from kdzoo.data.doubts import tell_doubts
from kdzoo.data.form import Canvas
from kdzoo.data.images import IMAGE
from kdzoo.data.listing import Listing
from kdzoo.data.mix import Labels, Mix
from kdzoo.data.modality import COMPUTED
from kdzoo.data.once import Once
from kdzoo.data.pairs import match
from kdzoo.data.parts import Part
from kdzoo.data.preparation import augment_of, evaluation_of, forms_of, own_side
from kdzoo.data.room import check_room
from kdzoo.data.shelf import Shelves
from kdzoo.data.source import data_name, find_source
from kdzoo.data.split import Split
from kdzoo.data.stream import Share, Stream
from kdzoo.data.streaming import Streaming
from kdzoo.data.train_stream import TrainStream
from kdzoo.errors import KdzooError
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.evaluation import TIMM, Evaluation
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
    own = once.get(("own side", id(source)), partial(own_side, config, source))
    img_size = config.img_size or own or USUAL_SIDE
    if own is not None and isinstance(source.train, ArrayListing):
        img_size = own
    augment = augment_of(config, source, img_size, own is None)
    how = evaluation_of(config, source, evaluation, own is None)
    forms = forms_of(config, img_size, own is None and augment.scale is not None, how)
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
    parts, shelved = decode(source, pairs, config, forms, shelves)
    skipped = dict(unreadable(source, pairs, shelved))
    vary = Augment(augment, seed if taught is None else taught.facts.seed, img_size)

    def meet(name: str, reason: str) -> None:
        skipped[name] = reason
        warn(f"{name}: unreadable image, left out: {reason}")

    if shelved:
        images = {modality: from_memory(parts, own, device, once) for modality, own in shelved.items()}
    else:
        damaged = {
            name: shelves.check(name, part.listing, part.split.index)
            for name, part in parts.items()
            if name != "train"
        }
        skipped.update(pair for found in damaged.values() for pair in found.items())
        workers = max(1, available_cores() // world) if config.workers is None else config.workers

        def streamed(name: str, part: Part) -> Streaming:
            return Streaming(
                part.listing,
                part.split.index,
                form=forms[name],
                view=vary.crops if isinstance(forms[name], Canvas) else None,
                workers=workers,
                device=device,
                tolerated=config.bad_images,
                what=f"the split {name}",
                skipped=meet,
                bad=damaged.get(name),
            )

        images = {IMAGE: {name: streamed(name, part) for name, part in parts.items()}}
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
    pixels = pixels_of(shelved) or {IMAGE: {part.origin: part.listing.manifest for part in parts.values()}}
    seen, content, contents = hashes(parts, pixels, source.classes, img_size, config.computed)
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
        content_hashes=contents,
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


def _mix(augment: AugmentConfig, train: Split, classes: int, seed: int) -> Mix | None:
    if not (augment.mixup or augment.cutmix):
        return None
    withheld = train.target == UNLABELLED
    labels: Labels = "none" if bool(withheld.all()) else "some" if bool(withheld.any()) else "all"
    return Mix(augment, classes, seed, labels)
