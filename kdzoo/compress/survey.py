"""What is in the folder: pictures, classes, labels, and what looks wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from kdzoo.api.observer import Event, Preparing
from kdzoo.data.dataset import DataSet
from kdzoo.data.folder import VALIDATION
from kdzoo.data.once import Once
from kdzoo.data.open import open_data
from kdzoo.errors import KdzooError
from kdzoo.jobs.batch_size import fitting
from kdzoo.recipe.data import DataConfig
from kdzoo.registry.model import Situation
from kdzoo.zoo import Zoo

FEW_LABELS = 20
"""Labelled training pictures of a class; with fewer on average they count as few."""

LEAST = 8
"""Training pictures without which nothing can be trained."""

VALIDATED = 0.2
"""Part of train that is held back for choices where the folder has no validation split: more than usual, for all
choices are made by it."""


@dataclass(frozen=True, eq=False)
class Survey:
    """An opened folder.

    Attributes:
        config: the data section of every recipe.
        data: opened.
        doubts: warnings: duplicates, leaks between splits, imbalance, unreadable files.
        labels: training pictures that have one.
        cut: whether the test split was cut from the same folder.
    """

    config: DataConfig
    data: DataSet
    doubts: tuple[str, ...]
    labels: int
    cut: bool

    @property
    def train(self) -> int:
        """Training pictures."""
        return len(self.data.train.split)

    @property
    def val(self) -> int:
        """Validation pictures."""
        return 0 if self.data.val is None else len(self.data.val.split)

    @property
    def test(self) -> int:
        """Test pictures."""
        return len(self.data.test.split)

    @property
    def situation(self) -> Situation:
        """Which methods suit the pictures."""
        if not self.labels:
            return "no-labels"
        few = self.labels < self.train or self.labels < FEW_LABELS * len(self.data.classes)
        return "few-labels" if few else "labels"

    @property
    def classes(self) -> int:
        """Classes that a student tells apart; 0 without labels."""
        return len(self.data.classes) if self.labels else 0

    def lines(self) -> Iterator[str]:
        """What was found, in sentences."""
        of = f" of {len(self.data.classes)} classes" if self.data.classes else ""
        val = f"{self.val:,} validation, " if self.val else ""
        size = self.data.img_size
        yield f"pictures: {self.train:,} training, {val}{self.test:,} test{of}, {size} x {size} pixels"
        if not self.labels:
            yield "labels: none"
        elif self.situation == "few-labels":
            yield f"labels: {self.labels:,} of {self.train:,} training pictures, which are few"
        yield from self.data.notes
        yield from (f"warning: {one}" for one in self.doubts)


def look(config: DataConfig, zoo: Zoo, notify: Callable[[Event], None]) -> Survey:
    """Open the folder; its decoded pictures are kept in the cache, where the runs find them.

    Args:
        config: names it.
        zoo: the installed components.
        notify: is told of the progress of decoding.

    Raises:
        KdzooError: there are no pictures or too few, one class, or a value is bad.
    """
    folder = config.data_dir
    inside = folder.iterdir() if folder and folder.is_dir() else ()
    splits = {one.name for one in inside if one.is_dir()}
    if "val_fraction" not in config.model_fields_set and not splits & set(VALIDATION):
        config = _with(config, val_fraction=VALIDATED)
    doubts: list[str] = []
    once = Once()

    def opened_with(config: DataConfig) -> DataSet:
        return open_data(
            config,
            seed=0,
            device=torch.device("cpu"),
            progress=lambda label, done, total: notify(Preparing(label, done, total)),
            warn=doubts.append,
            once=once,
            zoo=zoo,
        )

    opened = opened_with(config)
    if "batch_size" not in config.model_fields_set:
        config = _with(config, batch_size=fitting(len(opened.train.split)))
        opened = opened_with(config)
    doubts += [f"{path}: unreadable, left out: {why}" for path, why in list(opened.unreadable.items())[:3]]
    train, labels = opened.train.split, int((opened.train.split.target >= 0).sum())
    if len(train) < LEAST:
        raise KdzooError(f"{folder}: {len(train)} training pictures are too few; at least {LEAST}")
    if labels and opened.val is None:
        raise KdzooError(
            f"{folder}: no validation pictures, by which everything is chosen; set --val-fraction above 0"
        )
    if labels and not bool((opened.test.split.target >= 0).any()):
        raise KdzooError(f"{folder}: the test pictures have no labels, so there is no verdict; label some")
    cut = not splits & {"test", *VALIDATION} and config.labels_file is None
    return Survey(config, opened, tuple(doubts), labels, cut)


def _with(config: DataConfig, **values: object) -> DataConfig:
    return DataConfig.model_validate({**config.model_dump(exclude_unset=True), **values})
