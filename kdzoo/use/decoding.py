"""Pictures decoded in threads, a batch ahead of whoever takes them, so that memory stays flat."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from kdzoo.cores import available_cores
from kdzoo.data.decode import read
from kdzoo.data.file_listing import FolderListing
from kdzoo.data.listing import Listing, Pixels
from kdzoo.use.description import Preprocessing

Item = TypeVar("Item")
Made = TypeVar("Made")


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of so many; the last may be shorter."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch


def in_threads(
    batches: Iterable[Sequence[Item]], make: Callable[[Item], Made]
) -> Iterator[tuple[Sequence[Item], list[Made]]]:
    """Each batch with what is made of its items, in order; the next one is being made meanwhile."""
    pool = ThreadPoolExecutor(available_cores(), thread_name_prefix="decode")
    waiting: deque[tuple[Sequence[Item], list[Future[Made]]]] = deque()
    try:
        for batch in batches:
            waiting.append((batch, [pool.submit(make, item) for item in batch]))
            if len(waiting) > 1:
                items, futures = waiting.popleft()
                yield items, [future.result() for future in futures]
        for items, futures in waiting:
            yield items, [future.result() for future in futures]
    finally:  # an interrupt does not wait for pictures that are still to come
        pool.shutdown(cancel_futures=True)


def from_listing(
    listing: Listing, preprocessings: Sequence[Preprocessing]
) -> Callable[[int], tuple[Pixels, ...] | str]:
    """From a row of the listing to its pixels in each way of preparing them, or why it cannot be read."""

    def make(image: Image.Image) -> tuple[Pixels, ...]:
        image.load()
        return tuple(one.pixels(image) for one in preprocessings)

    return lambda row: read(listing, row, make)


def from_file(preprocessing: Preprocessing) -> Callable[[str], Pixels | str]:
    """From a file's name to its pixels, or why it cannot be read."""

    def made(name: str) -> Pixels | str:
        one = FolderListing(Path(), [name], np.zeros(1, np.int64))
        return read(one, 0, preprocessing.pixels)

    return made
