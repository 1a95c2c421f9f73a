"""The cache of decoded sets: each has a key of its source, and is decoded again if it is damaged.

Where the node has a place of its own for copies, a set is read from there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from kdzoo.data import stored
from kdzoo.data.decode import Sizes
from kdzoo.data.listing import Pixels
from kdzoo.data.stored import Decoded, Missing
from kdzoo.errors import Damaged, KdzooError
from kdzoo.files import replacing
from kdzoo.owner import Owner
from kdzoo.places import cache_folder, node_folder


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

    Of several processes that want the same set at once, one decodes it and the others wait, on all machines that
    share the cache. An existing set is read without writing to the cache, so it may be read-only.

    Args:
        folder: the folder of the cache; see :func:`folder`.
        key: the name of the set.
        rows: the samples' rows in their listing.
        side: side of the images, in pixels.
        fill: writes pixels to zeros (n, side, side, 3), and returns unreadable samples with the reason.
        sizes: zeros (n, 2), if the set has the true sizes of its samples; ``fill`` fills them.
        warn: called with one line if a stored set is damaged, or if another process makes it.
        report: called with the number of images compared with their check sums so far.
        source: where the images come from, for whoever looks at the cache.

    Raises:
        KdzooError: the cache cannot be written.
    """
    path = folder / f"{key}.npy"
    read = partial(stored.read, rows=rows, side=side, report=report, sized=sizes is not None)

    def make(owner: Owner) -> None:
        def filled(pixels: Pixels) -> Mapping[int, str]:
            bad = fill(pixels)
            owner.check()
            return bad

        stored.write(path, rows, side, filled, sizes, source)

    place = node_folder()
    if place is None:
        return _made(path, read, make, warn)
    near = place / "datasets" / path.name
    with suppress(Missing, Damaged):
        return read(near)
    try:
        near.parent.mkdir(parents=True, exist_ok=True)
        with Owner.of(near).awaited(warn):
            with suppress(Missing, Damaged):  # another process has copied it in the meantime
                return read(near)
            _made(path, read, make, warn)
            for name in (path.with_suffix(".json").name, path.name):  # images are never without their facts
                with replacing(near.with_name(name)) as part:
                    shutil.copyfile(path.with_name(name), part)
            return read(near)
    except OSError as error:
        warn(f"{near}: cannot be copied there: {error.strerror or error}; read from {path}")
    except (Missing, Damaged) as reason:
        warn(f"{near}: the copy is not what was written: {reason}; read from {path}")
    return _made(path, read, make, warn)


def _made(
    path: Path,
    read: Callable[[Path], Decoded],
    make: Callable[[Owner], None],
    warn: Callable[[str], None],
) -> Decoded:
    """The set in the shared cache, made unless it is there."""
    try:
        return read(path)
    except Missing:
        pass
    except Damaged as reason:
        warn(f"{path}: {reason}; its images are decoded again")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        owner = Owner.of(path)
        with owner.awaited(warn):
            with suppress(Missing, Damaged):  # another process has decoded it in the meantime
                return read(path)
            _sweep(path.parent)
            make(owner)
            return read(path)
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
