"""Images that are too many to keep decoded: timm's loader reads them as they are needed."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any, NamedTuple

import numpy as np
import torch
from timm.data import create_loader
from torch import Tensor
from torch.utils.data import Dataset

from kdzoo.data.decode import check_readable, read
from kdzoo.data.listing import Listing, Pixels
from kdzoo.data.stream import Piece
from kdzoo.errors import KdzooError, ending


class Sample(NamedTuple):
    """A position in the split, with its pixels (H, W, C) or the reason why it has none."""

    position: int
    pixels: Pixels | str


class _Epoch(Dataset[Sample]):
    """The samples of the batches to come, in order; timm's transform is set and not used, ``read`` does it."""

    transform: object = None

    def __init__(self, listing: Listing, rows: Tensor, positions: Tensor, img_size: int) -> None:
        self._listing = listing
        self._rows = rows
        self._positions = positions
        self._img_size = img_size

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, item: int) -> Sample:
        position = int(self._positions[item])
        return Sample(position, read(self._listing, int(self._rows[position]), self._img_size))


def _collate(samples: Sequence[Sample]) -> tuple[Tensor, Tensor, list[tuple[int, str]]]:
    """Images (b, H, W, C) and positions (b,) of the readable samples; position and reason of the others."""
    good = [sample for sample in samples if not isinstance(sample.pixels, str)]
    bad = [(sample.position, sample.pixels) for sample in samples if isinstance(sample.pixels, str)]
    images = np.stack([sample.pixels for sample in good]) if good else np.empty((0, 0, 0, 0), np.uint8)
    return torch.from_numpy(images), torch.tensor([sample.position for sample in good]), bad


class Streaming:
    """Reads a split from its files, epoch by epoch. Unreadable images are left out of their batches.

    Args:
        listing: where the images are.
        rows: (n,) int64: the listing's row of each sample of the split.
        img_size: side in pixels.
        workers: decoding processes; 0 decodes in this one.
        device: where the pieces are wanted.
        tolerated: largest part of unreadable images.
        what: names the split in messages.
        skipped: takes the name of each unreadable image, and why.

    """

    def __init__(
        self,
        listing: Listing,
        rows: Tensor,
        *,
        img_size: int,
        workers: int,
        device: torch.device,
        tolerated: float,
        what: str,
        skipped: Callable[[str, str], None],
    ) -> None:
        self._listing = listing
        self._rows = rows
        self._img_size = img_size
        self._workers = workers
        self._device = device
        self._tolerated = tolerated
        self._what = what
        self._skipped = skipped
        self._bad: dict[str, str] = {}

    def read(self, batches: Sequence[Tensor]) -> Iterator[Piece]:
        """The images of each batch of positions in the split."""
        if not batches:
            return
        for images, chosen, bad in self._loaded(batches):
            self._note(bad)
            if not len(chosen):
                raise KdzooError(f"no image of a batch of {self._what} can be read: {'; '.join(self._bad)}")
            images = images.to(self._device, non_blocking=True)
            chosen = chosen.to(self._device, non_blocking=True)
            yield Piece(images, torch.arange(len(chosen), device=self._device), chosen)

    def pick(self, chosen: Tensor) -> Piece:
        """Refused: the images would be decoded during a step, one after the other."""
        raise KdzooError(
            f"this method fetches single images, and {self._what} streams from its files, being too large for "
            "memory; raise data.cache_gb or use fewer images (data.train_per_class)"
        )

    def _loaded(self, batches: Sequence[Tensor]) -> Iterator[Any]:
        """What :func:`_collate` makes of each batch.

        Raises:
            KdzooError: a decoding process was killed; says by which signal.
        """
        others = multiprocessing.active_children()
        before = signal.getsignal(signal.SIGCHLD)
        loading = iter(self._loader(batches))
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

    def _loader(self, batches: Sequence[Tensor]) -> Any:
        epoch = _Epoch(self._listing, self._rows, torch.cat(list(batches)), self._img_size)
        loader = create_loader(
            epoch,
            input_size=self._img_size,
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
        if bad:
            check_readable(self._bad, len(self._rows), self._tolerated, self._what)
