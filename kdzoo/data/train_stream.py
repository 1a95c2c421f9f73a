"""The training split as batches: shuffled, varied, a part of it, or one view of each sample."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from kdzoo.api.batch import UNLABELLED, Batch, Origin
from kdzoo.counter_rng import key, permutation
from kdzoo.data.augment import Augment
from kdzoo.data.auto_augment import named
from kdzoo.data.images import IMAGE, Images, Piece
from kdzoo.data.listing import digest
from kdzoo.data.mix import Mix
from kdzoo.data.sampling import balanced
from kdzoo.data.split import Split
from kdzoo.data.stream import ALONE, Compute, Share, Stream, Views
from kdzoo.errors import KdzooError

Pick = Callable[[int, Tensor], Tensor]
"""From the epoch and samples (B,) to the numbers of their views (B,), where there is a fixed number of views."""

_COPY_BITS = 40  # a sample's further views of an epoch draw as if they were samples beyond any index


class TrainStream(Stream):
    """A training split: shuffled and augmented, as a pure function of (seed, epoch, index).

    Processes take their parts of the same global batches, all of one length. The rest of an epoch that fills no
    batch is left out, or with ``drop_last=False`` is a smaller batch, of which each process takes as many; a set that
    is smaller than a batch is one batch. With ``views`` there are so many different epochs, images, order and mixing
    alike: so a teacher's answers to them are soon all known. With ``pick`` each sample has a fixed number of views,
    and an epoch shows that one of them. With ``balance`` each class comes equally often, see
    :func:`kdzoo.data.sampling.balanced`. With repeated augmentation (Hoffer et al. 2020, arXiv 1901.09335) an epoch
    is as long, of fewer samples: as in timm's RepeatAugSampler the first of the shuffled ones, several times in a
    row, in different processes, and the rest is left out.

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
        share: Share = ALONE,
        paired: Mapping[str, Images] | None = None,
        computed: Mapping[str, Compute] | None = None,
        seed: int,
        augment: Augment,
        mix: Mix | None = None,
        drop_last: bool = True,
        balance: bool = False,
        views: int | None = None,
        pick: Pick | None = None,
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
        self._drop_last = drop_last
        self._balance = balance
        self._turn: tuple[int, Tensor, Sequence[Tensor]] | None = None
        self._views = views
        self._pick = pick
        self._in_order = False
        self._among = torch.arange(len(split))  # positions in the split
        self._part = ""
        self.labels = self._target.new_full((rows,), UNLABELLED).index_put((self._index,), self._target)
        own = torch.arange(len(split), device=device)
        self._position = own.new_full((rows,), -1).index_put((self._index,), own)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch; after ``views`` epochs it is one of those, all of them in each round, reordered."""
        super().set_epoch(self._repeated(epoch), start)

    def _repeated(self, epoch: int) -> int:
        """The epoch whose views this one has."""
        if self._views is None or epoch < self._views:
            return epoch
        round_, place = divmod(epoch, self._views)
        return int(permutation(key("views", self._seed, round_), torch.arange(self._views))[place])

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
        part._among, part._turn = among, None
        part._part = digest(among.tolist())[:16]
        part._batch_size = min(self._asked_batch_size, len(among) // self._share.world)
        if not part._batch_size:
            raise KdzooError(f"{len(among)} training images are too few for {self._share.world} processes")
        return part

    def in_view(self, number: int) -> TrainStream:
        """The ``number``-th view of every sample, in the order of the split, in batches of equal size.

        The last one is filled up with samples from the beginning.
        """
        found = copy.copy(self)
        found._pick, found._in_order = lambda epoch, index: torch.full_like(index, number), True
        return found

    def fetch(
        self,
        index: Tensor,
        view: int | None = 0,
        weak: bool = False,
        epoch: int | None = None,
        auto_augment: str | None = None,
    ) -> Batch:
        """These samples (B,), varied as in the present ``epoch``; another ``view`` varies them otherwise, None not.

        A ``weak`` view is cropped and flipped as that view, and varied no further; with ``auto_augment`` by that
        alone. They keep their class ids where the epoch's batches are mixed.

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
        pieces = {name: images.pick(chosen) for name, images in self._images.items()}
        at = self.epoch if epoch is None else self._repeated(epoch)
        if self._pick is None:
            views = self._shown(pieces, index, view, weak, at, auto_augment)
        else:
            views = self._shown(pieces, self._picked(index, at), view, weak, auto_augment=auto_augment)
        return self._batch(index, views, self.labels.index_select(0, index))

    def __len__(self) -> int:
        return self._whole + bool(self._rest)

    @property
    def _whole(self) -> int:
        return len(self._among) // (self._batch_size * self._share.world)

    @property
    def _rest(self) -> int:
        """The images of each process in a last, smaller batch."""
        left = len(self._among) % (self._batch_size * self._share.world)
        return 0 if self._drop_last or self._augment.repeats > 1 else left // self._share.world

    def _traced(self, batch: Batch, step: int, steps: int, chosen: Tensor) -> Batch:
        """The batch with its origin."""
        versions = {name: image._version for name, image in batch.inputs.items()}
        origin = Origin(self.epoch, step, steps, self.split.index[chosen], batch.inputs, versions, self._part)
        return replace(batch, origin=origin)

    @property
    def _views_epoch(self) -> int:
        return self.epoch if self._pick is None else 0

    def _batches(self) -> Sequence[Tensor]:
        if self._in_order:
            size, number = self._batch_size, len(self._among)
            return torch.split(torch.arange(-(-number // size) * size) % number, size)
        if self._balance:
            return self._dealt(self._among[self._balanced()[0]])
        return self._dealt(
            self._among[permutation(key("shuffle", self._seed, self.epoch), self.split.index[self._among])]
        )

    def _balanced(self) -> tuple[Tensor, Sequence[Tensor]]:
        """The order of the epoch, and for each batch how often its samples came before; computed once an epoch."""
        if self._turn is None or self._turn[0] != self.epoch:
            target, index = self.split.target[self._among], self.split.index[self._among]
            order, copies = balanced(target, index, self._seed, self.epoch)
            self._turn = self.epoch, order, self._dealt(copies)
        return self._turn[1:]

    def _dealt(self, order: Tensor) -> Sequence[Tensor]:
        """The batches of this process."""
        repeats, world, rank = self._augment.repeats, self._share.world, self._share.rank
        length = self._whole * self._batch_size * world
        if repeats > 1:
            order = order[: -(-length // repeats)].repeat_interleave(repeats)[:length]
            return order.view(self._whole, self._batch_size, world)[..., rank].unbind()
        everybody, rest = order.tensor_split([length])
        whole = everybody.view(self._whole, world, self._batch_size)[:, rank].unbind()
        return (*whole, rest[rank * self._rest :][: self._rest]) if self._rest else whole

    def _drawn(self, index: Tensor, step: int, asked: Tensor, chosen: Tensor) -> Tensor:
        repeats, world = self._augment.repeats, self._share.world
        if self._pick is not None:
            return self._picked(index, self.epoch)
        if repeats == 1 and not self._balance:
            return index
        place = torch.arange(len(asked), device=index.device) + step * self._batch_size
        copy = (place * world + self._share.rank) % repeats
        if self._balance:
            copy = copy + repeats * self._balanced()[1][step].to(index.device)
        if len(chosen) < len(asked):
            copy = copy[torch.isin(asked.to(index.device), chosen)]
        return index + (copy << _COPY_BITS)

    def _picked(self, index: Tensor, epoch: int) -> Tensor:
        """What the draws of the views depend on that an epoch shows of a fixed number of them."""
        assert self._pick is not None
        return index + (self._pick(epoch, index) << _COPY_BITS)

    def _shown(
        self,
        pieces: Mapping[str, Piece],
        index: Tensor,
        view: int | None = 0,
        weak: bool = False,
        epoch: int | None = None,
        auto_augment: str | None = None,
    ) -> Views:
        sizes = pieces[IMAGE].sizes  # partners are cropped where the image is
        if view is None:
            return {name: self._augment.plain(piece.store, piece.at, sizes) for name, piece in pieces.items()}
        epoch = self._views_epoch if epoch is None else epoch
        automatic = named(auto_augment) if auto_augment else None
        return {
            name: self._augment(
                piece.store, piece.at, index, epoch, view, color=name == IMAGE, weak=weak, sizes=sizes,
                cropped=piece.cropped, automatic=automatic,
            )
            for name, piece in pieces.items()
        }  # fmt: skip

    def _mixed(self, views: Views, target: Tensor, step: int) -> tuple[Views, Tensor]:
        if self._mix is None:
            return views, target
        mixed = {name: self._mix(images, target, self.epoch, step) for name, images in views.items()}
        return {name: images for name, (images, _) in mixed.items()}, mixed[IMAGE][1]
