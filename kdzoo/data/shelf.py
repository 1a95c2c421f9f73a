"""The decoded samples of one listing, from memory or from the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import PIL
import torch
from torch import Tensor

from kdzoo.cores import available_cores
from kdzoo.data import cache
from kdzoo.data.array_listing import ArrayListing
from kdzoo.data.decode import Progress, check_readable, decode, unreadable
from kdzoo.data.form import Form, Square
from kdzoo.data.listing import Listing, Pixels, digest
from kdzoo.data.once import Once
from kdzoo.recipe.data import DataConfig

_FORMAT = 2  # increase it when the same files decode to other pixels
_LARGE = 1 << 29
"""Bytes of a stored set from which its check has a progress bar."""


@dataclass(frozen=True, eq=False)
class Shelf:
    """Decoded samples.

    Attributes:
        images: (n, H, W, C) uint8.
        rows: (n,) int64: the listing's rows, ascending.
        digest: hash of what is kept, or of names and sizes of files for a form that does not go by pixels.
        bad: row -> reason for each sample that cannot be read.
        check: raises a KdzooError if reading the images would end the process.
        sizes: (n, 2) int64: true widths and heights, of a form that keeps them.

    """

    images: Pixels
    rows: Tensor
    digest: str
    bad: Mapping[int, str]
    check: Callable[[], None] = lambda: None
    sizes: Tensor | None = None

    def position(self, index: Tensor) -> Tensor:
        """Positions of the samples with these rows in :attr:`images`."""
        return torch.searchsorted(self.rows, index)


@dataclass
class Shelves:
    """Creates shelves.

    Attributes:
        config: what to decode, and with how many threads.
        folder: the folder of the cache; None is the default one.
        progress: called with the progress.
        warn: called with warnings.
        once: the existing shelves.
        seconds: time spent on decoding so far.
        found: stored sets that were there already.

    """

    config: DataConfig
    folder: Path | None
    progress: Progress | None = None
    warn: Callable[[str], None] = lambda message: None
    once: Once = field(default_factory=Once)
    seconds: float = field(default=0.0, init=False)
    found: list[str] = field(default_factory=list, init=False)

    def fill(self, split: str, listing: Listing, rows: Tensor, form: Form) -> Shelf:
        """These ``rows`` (ascending) of a listing in a form, decoded now unless the cache has them.

        Raises:
            KdzooError: more images are unreadable than the configuration tolerates, or the cache cannot be written.

        """
        key = (
            "shelf",
            split,
            form,
            id(listing),
            sha256(rows.numpy().tobytes()).hexdigest(),
            self.config.bad_images,
        )
        shelf, _ = self.once.get(
            key, lambda: (self._fill(split, listing, rows, form), listing)
        )  # keeps its id
        return shelf

    def _fill(self, split: str, listing: Listing, rows: Tensor, form: Form) -> Shelf:
        if isinstance(listing, ArrayListing):
            return Shelf(listing.images, torch.arange(len(listing.images)), listing.stamp, {})
        wanted = rows.tolist()
        sizes = np.zeros((len(wanted), 2), np.int32) if form.sized else None

        def fill(into: Pixels) -> dict[int, str]:
            started = time.perf_counter()
            bad = decode(listing, wanted, form, into, self._workers, report, sizes)
            self.seconds += time.perf_counter() - started
            check(bad)
            return bad

        def report(done: int, what: str = "decoding") -> None:
            self._report(f"{what} {split}", done, len(wanted))

        def compared(done: int) -> None:
            if len(wanted) * form.side**2 * 3 >= _LARGE:
                report(done, "checking")

        def check(bad: Mapping[int, str]) -> None:
            named = {listing.names[row]: reason for row, reason in bad.items()}
            check_readable(named, len(wanted), self.config.bad_images, f"the split {split}")

        part = "all" if len(wanted) == len(listing.names) else digest(wanted)
        decoded = self.seconds
        also = () if isinstance(form, Square) else (form,)
        key = digest((_FORMAT, PIL.__version__, form.side, listing.stamp, part, *also))
        found = cache.fetch(
            cache.folder(self.folder),
            f"{split}-{form.side}px-{key[:32]}",
            wanted,
            form.side,
            fill,
            sizes=sizes,
            warn=self.warn,
            report=compared,
        )
        check(found.bad)
        if self.seconds == decoded:
            self.found.append(split)
        if found.sizes is None:
            kept = found.digest if form.by_pixels else listing.manifest
            return Shelf(found.images, rows, kept, found.bad, found.check)
        kept = digest((found.digest, *found.sizes.ravel().tolist()))
        return Shelf(found.images, rows, kept, found.bad, found.check, torch.from_numpy(found.sizes).long())

    def check(self, split: str, listing: Listing, rows: Tensor) -> Mapping[str, str]:
        """Name -> reason of those of these ``rows`` that cannot be read; each is looked at once, and none is kept.

        Raises:
            KdzooError: they are more than the configuration tolerates.

        """
        wanted = rows.tolist()

        def look() -> tuple[dict[str, str], Listing]:
            bad = unreadable(
                listing,
                wanted,
                self._workers,
                lambda done: self._report(f"checking {split}", done, len(wanted)),
            )
            return {listing.names[row]: reason for row, reason in bad.items()}, listing  # keeps its id

        key = "checked", id(listing), sha256(rows.numpy().tobytes()).hexdigest()
        found, _ = self.once.get(key, look)
        check_readable(found, len(wanted), self.config.bad_images, f"the split {split}")
        return found

    def _report(self, label: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(label, done, total)

    @property
    def _workers(self) -> int:
        return available_cores() if self.config.workers is None else self.config.workers
