"""Decoded sets on disk: one memory-mapped ``.npy`` per set, found by a key of what went into it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from filelock import FileLock

from kdzoo.data.listing import Pixels
from kdzoo.errors import KdzooError
from kdzoo.files import replacing
from kdzoo.places import cache_folder

_HASHED_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Decoded:
    """A decoded set.

    Attributes:
        images: (n, H, W, C) uint8, mapped from the file; writing to it never reaches the file.
        digest: sha256 of the pixels.
        bad: row -> reason for each sample that could not be read; its pixels are zero.

    """

    images: Pixels
    digest: str
    bad: dict[int, str]


def folder(cache_dir: Path | None = None) -> Path:
    """Where decoded sets are kept: ``cache_dir``, else ``datasets/`` in kdzoo's cache."""
    return cache_folder() / "datasets" if cache_dir is None else cache_dir


def fetch(
    place: Path, key: str, shape: tuple[int, int, int, int], fill: Callable[[Pixels], dict[int, str]]
) -> Decoded:
    """The set with this key, decoded by ``fill`` if it is not there yet.

    ``fill`` gets zeros of ``shape`` to write to, and returns the samples that it could not read. Of several
    processes that want the same set at once, one decodes it and the others wait; where the file system knows no
    locks, each writes a file of its own, and the last of them, all alike, stays.

    Raises:
        KdzooError: the cache cannot be written.

    """
    images, about = place / f"{key}.npy", place / f"{key}.json"
    found = _open(images, about, shape)
    if found is not None:
        return found
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{images}.lock"):
            found = _open(images, about, shape)
            if found is None:
                _sweep(place)
                _write(images, about, shape, fill)
                found = _open(images, about, shape)
    except OSError as error:
        raise KdzooError(
            f"cannot write the cache of decoded images {images}: {error.strerror or error}; "
            "set KDZOO_CACHE to a folder with room, or data.cache_gb to 0 to do without"
        ) from error
    if found is None:
        raise KdzooError(f"the cache of decoded images {images} was removed while it was in use; run again")
    return found


def _open(images: Path, about: Path, shape: tuple[int, ...]) -> Decoded | None:
    try:
        pixels = np.load(images, mmap_mode="c")  # "c": torch warns of arrays that cannot be written to
        facts = json.loads(about.read_text())
        bad = {int(row): str(reason) for row, reason in facts["bad"].items()}
        return Decoded(pixels, facts["digest"], bad) if pixels.shape == shape else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
        return None  # absent, or damaged: written anew


def _write(
    images: Path, about: Path, shape: tuple[int, ...], fill: Callable[[Pixels], dict[int, str]]
) -> None:
    with replacing(images) as part, part.open("w+b") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        start = file.tell()
        _reserve(file, start + int(np.prod(shape)))
        pixels = np.memmap(file, np.uint8, "r+", start, shape)
        bad = fill(pixels)
        facts = {"digest": _digest(pixels), "bad": bad}
        pixels.flush()
        # first, so that whoever finds the images finds this too
        with replacing(about) as beside:
            beside.write_text(json.dumps(facts), encoding="utf-8")


def _sweep(place: Path) -> None:
    """Remove what processes that were killed a day or more ago left behind."""
    for draft in place.glob("*.part"):
        with suppress(OSError):  # somebody else sweeps too
            if draft.stat().st_mtime < time.time() - 86400:
                draft.unlink()


def _reserve(file: IO[bytes], size: int) -> None:
    # a full disk must be an error here: a memory map that finds no room later is killed by a signal
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def _digest(pixels: Pixels) -> str:
    running, flat = hashlib.sha256(), pixels.reshape(-1)
    for start in range(0, len(flat), _HASHED_AT_ONCE):
        running.update(flat[start : start + _HASHED_AT_ONCE].tobytes())
    return running.hexdigest()
