"""A split as batches: which samples, in which order, in which process; and from there to views."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from kdzoo.api.batch import UNLABELLED, Batch, Origin
from kdzoo.counter_rng import key, permutation
from kdzoo.data.augment import Augment, plain
from kdzoo.data.listing import digest
from kdzoo.data.mix import Mix
from kdzoo.data.split import Split
from kdzoo.errors import KdzooError

IMAGE = "image"
"""The usual modality."""

Compute = Callable[[Tensor], Tensor]
Views = Mapping[str, Tensor]


class Piece(NamedTuple):
    """Images for one batch.

    Attributes:
        store: (N, H, W, C) uint8 on the device.
        at: (B,) int64 on the device: where in the store the images lie.
        chosen: (B,) int64 on the device: the samples' positions in their split.

    """

    store: Tensor
    at: Tensor
    chosen: Tensor


class Images(Protocol):
    """Where a split's images come from."""

    def read(self, batches: Sequence[Tensor]) -> Iterator[Piece]:
        """The images of each batch of positions in the split (on the CPU), in order."""

    def pick(self, chosen: Tensor) -> Piece:
        """The images at these positions (B,) in the split (on the device), at once.

        Raises:
            KdzooError: they are not in memory.

        """


@dataclass(frozen=True)
class Share:
    """Which part of the work this process does."""

    rank: int = 0
    world: int = 1


class Stream:
    """A split of a data set, as batches on the device.

    Beside the images a batch has what is ``paired`` with them, read from elsewhere and varied alike except in
    colour, and what is ``computed`` from them when all is done.

    Attributes:
        split: the samples.
        rows: exclusive upper bound of ``Batch.index``, for components that keep a table with a row per sample.

    """

    def __init__(
        self,
        split: Split,
        rows: int,
        images: Images,
        *,
        batch_size: int,
        device: torch.device,
        channels_last: bool = True,
        share: Share = Share(),
        paired: Mapping[str, Images] | None = None,
        computed: Mapping[str, Compute] | None = None,
    ) -> None:
        self.split = split
        self.rows = rows
        self._images = {IMAGE: images, **(paired or {})}
        self._computed = computed or {}
        self._batch_size = batch_size
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._share = share
        self._index = split.index.to(device)
        self._target = split.target.to(device)
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        """The number of batches of an epoch in this process."""
        return len(self._batches())

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch that the next iterations go through, and how many batches they leave out."""
        self.epoch, self.start = epoch, start

    def __iter__(self) -> Iterator[Batch]:
        batches = self._batches()[self.start :]
        reading = [images.read(batches) for images in self._images.values()]
        for step, together in enumerate(zip(*reading, strict=True), self.start):
            pieces = dict(zip(self._images, together, strict=True))
            chosen = pieces[IMAGE].chosen
            index = self._index[chosen]
            views = {name: self._view(name, piece, index) for name, piece in pieces.items()}
            batch = self._batch(index, *self._mixed(views, self._target[chosen], step))
            yield self._traced(batch, step, len(batches) + self.start, batches[step - self.start])

    def _batch(self, index: Tensor, views: Mapping[str, Tensor], target: Tensor) -> Batch:
        seen = {**views, **{name: compute(views[IMAGE]) for name, compute in self._computed.items()}}
        inputs = {name: one.contiguous(memory_format=self._memory_format) for name, one in seen.items()}
        return Batch(index, inputs, target)

    def _traced(self, batch: Batch, step: int, steps: int, chosen: Tensor) -> Batch:
        return batch

    def _batches(self) -> Sequence[Tensor]:
        own = torch.arange(len(self.split))[self._share.rank :: self._share.world]
        return torch.split(own, self._batch_size) if len(own) else ()

    def _view(self, modality: str, piece: Piece, index: Tensor) -> Tensor:
        return plain(piece.store, piece.at).permute(0, 3, 1, 2)

    def _mixed(self, views: Views, target: Tensor, step: int) -> tuple[Views, Tensor]:
        return views, target


class TrainStream(Stream):
    """A training split: shuffled and augmented, as a pure function of (seed, epoch, index).

    Processes take their parts of the same global batches, all of one length. The rest of an epoch that fills no
    batch is left out; a set that is smaller than a batch is one batch. With ``views`` there are so many different
    epochs, images, order and mixing alike: so a teacher's answers to them are soon all known.

    Attributes:
        labels: (rows,) int64 on the device: class ids by ``Batch.index``, :data:`kdzoo.api.UNLABELLED` where
            withheld and for rows of other splits.

    """

    def __init__(
        self,
        split: Split,
        rows: int,
        images: Images,
        *,
        batch_size: int,
        device: torch.device,
        channels_last: bool = True,
        share: Share = Share(),
        paired: Mapping[str, Images] | None = None,
        computed: Mapping[str, Compute] | None = None,
        seed: int,
        augment: Augment,
        mix: Mix | None = None,
        views: int | None = None,
    ) -> None:
        super().__init__(
            split, rows, images,
            batch_size=min(batch_size, len(split) // share.world),
            device=device, channels_last=channels_last, share=share, paired=paired, computed=computed,
        )  # fmt: skip
        if not self._batch_size:
            raise KdzooError(f"{len(split)} training images are too few for {share.world} processes")
        self._asked_batch_size = batch_size
        self._seed = seed
        self._augment = augment
        self._mix = mix
        self._views = views
        self._among = torch.arange(len(split))  # positions in the split
        self._part = ""
        self.labels = self._target.new_full((rows,), UNLABELLED).index_put((self._index,), self._target)
        own = torch.arange(len(split), device=device)
        self._position = own.new_full((rows,), -1).index_put((self._index,), own)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch; after ``views`` epochs it is one of those, all of them in each round, reordered."""
        if self._views is not None and epoch >= self._views:
            round_, place = divmod(epoch, self._views)
            order = permutation(key("views", self._seed, round_), torch.arange(self._views))
            epoch = int(order[place])
        super().set_epoch(epoch, start)

    def select(self, index: Tensor) -> TrainStream:
        """The stream of these samples (n,) alone.

        Raises:
            KdzooError: a row is not in the split, or they are too few for the processes.

        """
        index = index.cpu()
        inside = (index >= 0) & (index < self.rows)
        among = self._position.cpu()[index.where(inside, 0)].where(inside, -1).sort().values
        if not len(among) or bool((among < 0).any()):
            raise KdzooError(f"select: {len(among)} rows, not all of them of the training split")
        part = copy.copy(self)
        part._among = among
        part._part = digest(among.tolist())[:16]
        part._batch_size = min(self._asked_batch_size, len(among) // self._share.world)
        if not part._batch_size:
            raise KdzooError(f"{len(among)} training images are too few for {self._share.world} processes")
        return part

    def fetch(self, index: Tensor, view: int | None = 0) -> Batch:
        """These samples (B,), varied as in the present epoch; another ``view`` varies them otherwise, None not.

        They keep their class ids where the epoch's batches are mixed.

        Raises:
            KdzooError: the images stream, or (on the CPU; elsewhere the device stops) a row is not in the split.

        """
        index = index.to(self._index.device)
        if index.device.type == "cpu":  # elsewhere looking would make the host wait
            outside = (index < 0) | (index >= self.rows)
            outside |= self._position[index.clamp(0, self.rows - 1)] < 0
            if bool(outside.any()):
                raise KdzooError(f"{int(index[outside][0])} is not the index of a training sample")
        chosen = self._position.index_select(0, index)
        views = {
            name: self._view(name, images.pick(chosen), index, view) for name, images in self._images.items()
        }
        return self._batch(index, views, self.labels.index_select(0, index))

    def __len__(self) -> int:
        return len(self._among) // (self._batch_size * self._share.world)

    def _traced(self, batch: Batch, step: int, steps: int, chosen: Tensor) -> Batch:
        """The batch with its origin."""
        versions = {name: image._version for name, image in batch.inputs.items()}
        origin = Origin(self.epoch, step, steps, self.split.index[chosen], batch.inputs, versions, self._part)
        return replace(batch, origin=origin)

    def _batches(self) -> Sequence[Tensor]:
        order = self._among[
            permutation(key("shuffle", self._seed, self.epoch), self.split.index[self._among])
        ]
        everybody = order[: len(self) * self._batch_size * self._share.world]
        return everybody.view(len(self), self._share.world, self._batch_size)[:, self._share.rank].unbind()

    def _view(self, modality: str, piece: Piece, index: Tensor, view: int | None = 0) -> Tensor:
        if view is None:
            return plain(piece.store, piece.at).permute(0, 3, 1, 2)
        return self._augment(piece.store, piece.at, index, self.epoch, view, color=modality == IMAGE)

    def _mixed(self, views: Views, target: Tensor, step: int) -> tuple[Views, Tensor]:
        if self._mix is None:
            return views, target
        mixed = {name: self._mix(images, target, self.epoch, step) for name, images in views.items()}
        return {name: images for name, (images, _) in mixed.items()}, mixed[IMAGE][1]
