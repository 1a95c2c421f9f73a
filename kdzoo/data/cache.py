"""The cache of decoded sets: each has a key of its source, and is decoded again if it is damaged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from kdzoo.data import stored
from kdzoo.data.decode import Sizes
from kdzoo.data.listing import Pixels
from kdzoo.data.stored import Decoded, Missing
from kdzoo.errors import Damaged, KdzooError
from kdzoo.places import cache_folder


def folder(cache_dir: Path | None = None) -> Path:
    """The folder of decoded sets: ``cache_dir``, else ``datasets/`` in kdzoo's cache.

    Raises:
        KdzooError: ``KDZOO_CACHE`` is not a folder.
    """
    return cache_folder() / "datasets" if cache_dir is None else cache_dir


def _ignore(what: Any) -> None:
    pass


def fetch(
    folder: Path,
    key: str,
    rows: Sequence[int],
    side: int,
    fill: Callable[[Pixels], Mapping[int, str]],
    *,
    sizes: Sizes | None = None,
    warn: Callable[[str], None] = _ignore,
    report: Callable[[int], None] = _ignore,
    source: str = "",
) -> Decoded:
    """The set with this key, decoded by ``fill`` if it is missing or damaged.

    Of several processes that want the same set at once, one decodes it and the others wait. An existing set
    is read without writing anything, so the cache may be read-only.

    Args:
        folder: the folder of the cache; see :func:`folder`.
        key: the name of the set.
        rows: the samples' rows in their listing.
        side: side of the images, in pixels.
        fill: writes pixels to zeros (n, side, side, 3), and returns unreadable samples with the reason.
        sizes: zeros (n, 2), if the set has the true sizes of its samples; ``fill`` fills them.
        warn: called with one line if a stored set is damaged.
        report: called with the number of images compared with their check sums so far.
        source: where the images come from, for whoever looks at the cache.

    Raises:
        KdzooError: the cache cannot be written.
    """
    path = folder / f"{key}.npy"
    look = partial(stored.read, path, rows, side, report, sizes is not None)
    try:
        return look()
    except Missing:
        pass
    except Damaged as reason:
        warn(f"{path}: {reason}; its images are decoded again")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            with suppress(Missing, Damaged):  # another process has decoded it in the meantime
                return look()
            _sweep(folder)
            stored.write(path, rows, side, fill, sizes, source)
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


def _sweep(folder: Path) -> None:
    """Remove drafts of killed processes after a day."""
    for draft in folder.glob("*.part"):
        with suppress(OSError):  # another process may remove it too
            if draft.stat().st_mtime < time.time() - 86400:
                draft.unlink()
