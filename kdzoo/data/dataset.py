"""An opened data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from kdzoo.api.batch import Batch
from kdzoo.data.reinforced import Reinforced
from kdzoo.data.stream import Stream
from kdzoo.data.train_stream import TrainStream
from kdzoo.errors import KdzooError
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.evaluation import Evaluation

PIXELS = "pixels"
"""Begins the content of data that are in memory, and cannot change during a run."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """The data of a run; it is what ``kdzoo.api.Data`` asks for, and more.

    Attributes:
        training: the training split; None if it is withheld.
        val, test: the other splits; val is None if there is none.
        classes: the class names, in the order of their ids.
        channels: modality -> number of channels.
        img_size: height and width in pixels.
        augment: how training images are varied.
        evaluation: how images are prepared for evaluation; None if they are taken as they are.
        hash: sha256 over what a run sees: pixels (of a set that streams: names and sizes of the files), class
            names, which samples each split has, and which labels it shows.
        content_hash: the same as if no label were withheld.
        content_hashes: modality -> the same as if there were no other modality; the image is always among them.
        names: by ``Batch.index``, the path of each training image below its split, or its place in the data set.
        streams: whether the files are read anew in every epoch, so that the hashes know their names and sizes alone.
        timing: seconds spent on ``scan`` (finding the samples) and ``decode``.
        found: the splits whose images had been decoded before and were found in the cache.
        notes: decisions about the splits that the user should know of.
        unreadable: images that were left out -> why; in a set that streams, as they are met.
        unlabelled: whether the data set has no label for any training image, not even a withheld one.
        reinforced: a teacher's answers to the training images, if they come with these.

    """

    training: TrainStream | None
    val: Stream | None
    test: Stream
    classes: tuple[str, ...]
    channels: Mapping[str, int]
    img_size: int
    augment: AugmentConfig
    hash: str
    content_hash: str
    content_hashes: Mapping[str, str]
    names: Sequence[str] = field(repr=False)
    timing: Mapping[str, float]
    notes: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    streams: bool = False
    unreadable: Mapping[str, str] = field(default_factory=dict, repr=False)
    evaluation: Evaluation | None = None
    unlabelled: bool = False
    reinforced: Reinforced | None = None

    @property
    def content(self) -> str:
        """What identifies the images: their pixels, or their files where these are read anew in every epoch."""
        return f"{'files' if self.streams else PIXELS} {self.content_hash}"

    @property
    def train(self) -> TrainStream:
        """The training split.

        Raises:
            KdzooError: it is withheld.

        """
        if self.training is None:
            raise KdzooError(
                "data.withhold_train is on, so there are no training images: set it to false, or take a method that "
                "works without data"
            )
        return self.training

    @property
    def skipped(self) -> tuple[str, ...]:
        """The names of :attr:`unreadable`."""
        return tuple(self.unreadable)

    @property
    def labels(self) -> Tensor:
        """(rows,) int64 on the device, by ``Batch.index``: what the training split shows of its labels."""
        return self.train.labels

    def select(self, index: Tensor) -> TrainStream:
        """A part of the training split; see :meth:`kdzoo.api.run.Data.select`."""
        return self.train.select(index)

    def fetch(
        self,
        index: Tensor,
        view: int | None = 0,
        weak: bool = False,
        epoch: int | None = None,
        auto_augment: str | None = None,
    ) -> Batch:
        """Training samples by their index; see :meth:`kdzoo.api.run.Data.fetch`."""
        return self.train.fetch(index, view, weak, epoch, auto_augment)
