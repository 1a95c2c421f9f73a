"""The cache of decoded sets: each is found by a key of what went into it, and decoded again where it is damaged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from kdzoo.data import stored
from kdzoo.data.listing import Pixels
from kdzoo.data.stored import Decoded, Missing
from kdzoo.errors import Damaged, KdzooError
from kdzoo.places import cache_folder


def folder(cache_dir: Path | None = None) -> Path:
    """Where decoded sets are kept: ``cache_dir``, else ``datasets/`` in kdzoo's cache.

    Raises:
        KdzooError: ``KDZOO_CACHE`` names no folder.
    """
    return cache_folder() / "datasets" if cache_dir is None else cache_dir


def _ignore(what: Any) -> None:
    pass


def fetch(
    place: Path,
    key: str,
    rows: Sequence[int],
    side: int,
    fill: Callable[[Pixels], Mapping[int, str]],
    *,
    warn: Callable[[str], None] = _ignore,
    report: Callable[[int], None] = _ignore,
) -> Decoded:
    """The set with this key, decoded by ``fill`` if it is not there yet, or no longer what was written.

    Of several processes that want the same set at once, one decodes it and the others wait. A set that is there is
    read without writing anything, so the cache may be read-only.

    Args:
        place: the cache's folder.
        key: names the set.
        rows: the samples' rows in their listing.
        side: of the images, in pixels.
        fill: gets zeros (n, side, side, 3) to write to, and returns the samples that it could not read, and why.
        warn: is told, in one line, if a stored set is damaged.
        report: called with the number of images that were compared with their check sums so far.

    Raises:
        KdzooError: the cache cannot be written.
    """
    path = place / f"{key}.npy"
    look = partial(stored.read, path, rows, side, report)
    try:
        return look()
    except Missing:
        pass
    except Damaged as reason:
        warn(f"{path}: {reason}; its images are decoded again")
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            with suppress(Missing, Damaged):  # another process has decoded it in the meantime
                return look()
            _sweep(place)
            stored.write(path, rows, side, fill)
            return look()
    except OSError as error:
        raise KdzooError(
            f"cannot write the cache of decoded images {path}: {error.strerror or error}; "
            "set KDZOO_CACHE to a folder with room, or data.cache_gb to 0 to do without"
        ) from error
    except (Missing, Damaged) as reason:
        raise KdzooError(
            f"the cache of decoded images {path} was changed while it was in use: {reason}; run again"
        ) from None


def _sweep(place: Path) -> None:
    """Remove what processes that were killed a day or more ago left behind."""
    for draft in place.glob("*.part"):
        with suppress(OSError):  # somebody else sweeps too
            if draft.stat().st_mtime < time.time() - 86400:
                draft.unlink()
