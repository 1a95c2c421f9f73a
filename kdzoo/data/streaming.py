"""Images that are too many to keep decoded: timm's loader reads them as they are needed."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from timm.data import create_loader
from torch import Tensor
from torch.utils.data import Dataset

from kdzoo.data.decode import check_readable, read, true_size
from kdzoo.data.form import Form
from kdzoo.data.images import Piece
from kdzoo.data.listing import Listing, Pixels
from kdzoo.errors import KdzooError, ending

Make = Callable[[Image.Image], Pixels]
View = Callable[[Tensor, Tensor, int], Sequence[Make]]
"""From what samples' draws depend on (n,), true sizes (n, 2) and the epoch to what makes views of opened images."""


class Sample(NamedTuple):
    """A position in the split, its pixels (H, W, C) or the reason why it has none, and its true size if known."""

    position: int
    pixels: Pixels | str
    size: tuple[int, int] = (0, 0)


class _Epoch(Dataset[Sample]):
    """The samples of the batches to come, in order; timm's transform is set and not used, ``read`` does it."""

    transform: object = None

    def __init__(
        self,
        listing: Listing,
        rows: Tensor,
        positions: Tensor,
        drawn: Tensor,
        form: Form,
        view: View | None,
        epoch: int,
        sizes: Tensor,
    ) -> None:
        self._listing = listing
        self._rows = rows
        self._positions = positions
        self._drawn = drawn
        self._form = form
        self._view = view
        self._epoch = epoch
        self._sizes = sizes

    def __len__(self) -> int:
        return len(self._positions)

    def __getitems__(self, items: Sequence[int]) -> list[Sample]:
        """A batch at once, which is how torch's loader asks."""
        chosen = torch.tensor(items)
        positions = self._positions[chosen]
        rows = self._rows[positions].tolist()
        if self._view is None:
            return [
                Sample(position, read(self._listing, row, self._form))
                for position, row in zip(positions.tolist(), rows, strict=True)
            ]
        sizes = [
            size if size[0] else read(self._listing, row, true_size)
            for size, row in zip(map(tuple, self._sizes[positions].tolist()), rows, strict=True)
        ]
        known = torch.tensor([(1, 1) if isinstance(size, str) else size for size in sizes])
        makes = self._view(self._drawn[chosen], known, self._epoch)
        return [
            Sample(position, size)
            if isinstance(size, str)
            else Sample(position, read(self._listing, row, make), size)
            for position, row, size, make in zip(positions.tolist(), rows, sizes, makes, strict=True)
        ]


def _collate(samples: Sequence[Sample]) -> tuple[Tensor, Tensor, Tensor, list[tuple[int, str]]]:
    """Images (b, H, W, C), positions (b,) and sizes (b, 2) of the readable samples; position and reason of others."""
    good = [sample for sample in samples if not isinstance(sample.pixels, str)]
    bad = [(sample.position, sample.pixels) for sample in samples if isinstance(sample.pixels, str)]
    images = np.stack([sample.pixels for sample in good]) if good else np.empty((0, 0, 0, 0), np.uint8)
    positions = torch.tensor([sample.position for sample in good])
    return torch.from_numpy(images), positions, torch.tensor([sample.size for sample in good]), bad


class Streaming:
    """Reads a split from its files, epoch by epoch. Unreadable images are left out of their batches.

    Of the training split too many of them end the run. Those of other splits are known before (``bad``), and never
    cost a finished training.

    Args:
        listing: where the images are.
        rows: (n,) int64: the listing's row of each sample of the split.
        form: how an image is read.
        view: how one of the training split is read instead, if its random crop depends on the file.
        workers: decoding processes; 0 decodes in this one.
        device: where the pieces are wanted.
        tolerated: largest part of unreadable images.
        what: names the split in messages.
        skipped: takes the name of each unreadable image and the reason.
        bad: name -> reason of those that are known; None for the training split.

    """

    def __init__(
        self,
        listing: Listing,
        rows: Tensor,
        *,
        form: Form,
        view: View | None = None,
        workers: int,
        device: torch.device,
        tolerated: float,
        what: str,
        skipped: Callable[[str, str], None],
        bad: Mapping[str, str] | None = None,
    ) -> None:
        self._listing = listing
        self._rows = rows
        self._form = form
        self._view = view
        self._workers = workers
        self._device = device
        self._tolerated = tolerated
        self._what = what
        self._skipped = skipped
        self._strict = bad is None
        self._bad = dict(bad or {})
        self._sizes = torch.zeros(len(rows), 2, dtype=torch.int32)  # of images that were opened before

    def read(self, batches: Sequence[Tensor], drawn: Sequence[Tensor], epoch: int) -> Iterator[Piece]:
        """The images of each batch of positions in the split; an evaluation goes on without a batch of bad ones."""
        if not batches:
            return
        for images, chosen, sizes, bad in self._loaded(batches, drawn, epoch):
            self._note(bad)
            if not len(chosen):
                if not self._strict:
                    continue
                raise KdzooError(f"no image of a batch of {self._what} can be read: {'; '.join(self._bad)}")
            self._sizes[chosen] = sizes.to(torch.int32)
            images = images.to(self._device, non_blocking=True)
            chosen = chosen.to(self._device, non_blocking=True)
            at = torch.arange(len(chosen), device=self._device)
            yield Piece(images, at, chosen, cropped=self._view is not None)

    def pick(self, chosen: Tensor) -> Piece:
        """Refused: the images would be decoded during a step, one after the other."""
        raise KdzooError(
            f"this method fetches single images, and {self._what} streams from its files, being too large for "
            "memory; raise data.cache_gb or use fewer images (data.train_per_class)"
        )

    def _loaded(self, batches: Sequence[Tensor], drawn: Sequence[Tensor], epoch: int) -> Iterator[Any]:
        """What :func:`_collate` makes of each batch.

        Raises:
            KdzooError: a decoding process was killed; says by which signal.
        """
        others = multiprocessing.active_children()
        before = signal.getsignal(signal.SIGCHLD)
        loading = iter(self._loader(batches, drawn, epoch))
        if signal.getsignal(signal.SIGCHLD) != before:
            # torch's handler would raise in the middle of a training step; the next batch says it too
            signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)
        workers = [one for one in multiprocessing.active_children() if one not in others]
        while True:
            try:
                batch = next(loading, None)
            except (RuntimeError, OSError, EOFError) as error:  # torch has one for each way to notice
                gone = wait([one.sentinel for one in workers], timeout=1)
                ended = next((one for one in workers if one.sentinel in gone), None)
                if ended is None:
                    raise
                ended.join()
                # torch's processes take a SIGTERM of their parent for a wish, and exit with 0
                how = ending(ended.exitcode or 128 + signal.SIGTERM)
                raise KdzooError(
                    f"a process that reads the images of {self._what} {how}; data.workers sets their number"
                ) from error
            if batch is None:
                return
            yield batch

    def _loader(self, batches: Sequence[Tensor], drawn: Sequence[Tensor], epoch: int) -> Any:
        positions, drawn_by = torch.cat(list(batches)), torch.cat(list(drawn))
        loader = create_loader(
            _Epoch(
                self._listing, self._rows, positions, drawn_by, self._form, self._view, epoch, self._sizes
            ),
            input_size=self._form.side,
            batch_size=len(batches[0]),
            is_training=False,  # the order is decided, and the views are made on the device
            use_prefetcher=False,
            num_workers=self._workers,
            persistent_workers=False,
            collate_fn=_collate,
            pin_memory=self._device.type == "cuda",
            device=self._device,
        )
        loader.generator = torch.Generator()  # else it draws a seed from the global generator
        return loader

    def _note(self, bad: Sequence[tuple[int, str]]) -> None:
        for position, reason in bad:
            name = self._listing.names[int(self._rows[position])]
            if name not in self._bad:
                self._bad[name] = reason
                self._skipped(name, reason)
        if bad and self._strict:
            check_readable(self._bad, len(self._rows), self._tolerated, self._what)
