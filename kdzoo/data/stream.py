"""A split as batches: which samples, in which order, in which process; and from there to views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdzoo.api.batch import Batch
from kdzoo.data.augment import plain
from kdzoo.data.images import IMAGE, Images, Piece
from kdzoo.data.split import Split

Compute = Callable[[Tensor], Tensor]
Views = Mapping[str, Tensor]


@dataclass(frozen=True)
class Share:
    """Which part of the work this process does."""

    rank: int = 0
    world: int = 1


ALONE = Share()
"""All of it."""


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
        share: Share = ALONE,
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
        start = self.start  # it may change while this iteration goes on
        batches = self._batches()[start:]
        rows = [
            self._drawn(self.split.index[asked], step, asked, asked)
            for step, asked in enumerate(batches, start)
        ]
        reading = [images.read(batches, rows, self._views_epoch) for images in self._images.values()]
        for step, together in enumerate(zip(*reading, strict=True), start):
            pieces = dict(zip(self._images, together, strict=True))
            chosen = pieces[IMAGE].chosen
            index = self._index[chosen]
            asked = batches[step - start]
            drawn = self._drawn(index, step, asked, chosen)
            views = self._shown(pieces, drawn)
            batch = self._batch(index, *self._mixed(views, self._target[chosen], step))
            yield self._traced(batch, step, len(batches) + start, asked)

    @property
    def _views_epoch(self) -> int:
        """The epoch that the draws of the views depend on."""
        return self.epoch

    def _batch(self, index: Tensor, views: Mapping[str, Tensor], target: Tensor) -> Batch:
        seen = {**views, **{name: compute(views[IMAGE]) for name, compute in self._computed.items()}}
        inputs = {name: one.contiguous(memory_format=self._memory_format) for name, one in seen.items()}
        return Batch(index, inputs, target)

    def _traced(self, batch: Batch, step: int, steps: int, chosen: Tensor) -> Batch:
        return batch

    def _batches(self) -> Sequence[Tensor]:
        own = torch.arange(len(self.split))[self._share.rank :: self._share.world]
        batches = torch.split(own, self._batch_size) if len(own) else ()
        most = -(-len(self.split) // self._share.world)
        if self._batch_size > 1 and len(own) > 1 and len(batches) < -(-most // self._batch_size):
            # As many in every process, for networks that compute together.
            return (*batches[:-1], *batches[-1].tensor_split([-1]))
        return batches

    def _shown(self, pieces: Mapping[str, Piece], index: Tensor) -> Views:
        return {name: plain(piece.store, piece.at).permute(0, 3, 1, 2) for name, piece in pieces.items()}

    def _drawn(self, index: Tensor, step: int, asked: Tensor, chosen: Tensor) -> Tensor:
        """What the draws of the views depend on; ``chosen`` are those of the ``asked`` that could be read."""
        return index

    def _mixed(self, views: Views, target: Tensor, step: int) -> tuple[Views, Tensor]:
        return views, target
