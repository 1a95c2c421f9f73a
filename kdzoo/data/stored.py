"""A decoded set in two files: pixels in a ``.npy``, and in a ``.json`` next to it the facts to check them by."""

from __future__ import annotations

import hashlib
import io
import math
import mmap
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from pydantic import BaseModel, ConfigDict

from kdzoo.cores import available_cores
from kdzoo.data.decode import Sizes
from kdzoo.data.listing import Pixels
from kdzoo.errors import Damaged, KdzooError
from kdzoo.files import replacing

_CHUNK = 1 << 22
"""Bytes per check sum."""


class Missing(Exception):
    """There is no stored set."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """A decoded set.

    Attributes:
        images: (n, H, W, C) uint8, mapped from the file; writing to it never reaches the file.
        digest: sha256 of the pixels.
        bad: row -> reason for each sample that could not be read; its pixels are zero.
        path: the file.
        mapping: the mapping under ``images``; it keeps the file open.
        sizes: true widths and heights of the samples, if they are kept; of one that could not be read, zeros.
    """

    images: Pixels
    digest: str
    bad: Mapping[int, str]
    path: Path
    mapping: mmap.mmap
    sizes: Sizes | None = None

    def check(self) -> None:
        """Check that the file still has its length; reading beyond its end would end the process by SIGBUS.

        Raises:
            KdzooError: it was truncated, or replaced where its server forgets it then.
        """
        try:
            whole = self.mapping.size() >= len(self.mapping)
        except OSError:  # of a network file system: another machine has replaced or removed it
            whole = False
        if not whole:
            raise KdzooError(
                f"{self.path}: the decoded images were cut by another program while they were in use; run again, "
                "and they are decoded again"
            )


def read(
    path: Path, rows: Sequence[int], side: int, report: Callable[[int], None], sized: bool = False
) -> Decoded:
    """The set that :func:`write` stored, every byte compared with a check sum (CRC-32: 154 MB in 0.06 s on one core).

    Args:
        path: the ``.npy``.
        rows: the samples' rows in their listing.
        side: side of the images, in pixels.
        report: called with the number of images compared so far.
        sized: whether the set has the true sizes of its samples.

    Raises:
        Missing: there is no such file.
        Damaged: the files were changed, or are from a version without check sums.
    """
    shape = len(rows), side, side, 3
    header, size = _header(shape), math.prod(shape)
    try:
        with path.open("rb") as file:
            facts = _Facts.read(path)
            if not facts.bad.keys() <= set(rows):
                raise Damaged(f"{path.stem}.json names images that the set does not have")
            sizes = _sizes(facts, rows) if sized else None
            if os.fstat(file.fileno()).st_size != len(header) + size:
                raise Damaged("its size is wrong")
            sums = _sums(file, len(header), size, lambda done: report(done // (side * side * 3)))
            if file.read(len(header)) != header or sums != facts.sums:
                raise Damaged("its content is not what was written")
            mapping = mmap.mmap(file.fileno(), len(header) + size, access=mmap.ACCESS_COPY)
    except (FileNotFoundError, NotADirectoryError):
        raise Missing("there is none") from None
    except (OSError, ValueError) as error:  # ValueError: it was cut since then
        raise Damaged(str(error)) from None
    # writable, but only in memory: torch warns of read-only arrays
    images = np.ndarray(shape, np.uint8, mapping, len(header))
    return Decoded(images, facts.digest, facts.bad, path, mapping, sizes)


def _sizes(facts: _Facts, rows: Sequence[int]) -> Sizes:
    """The true sizes (n, 2), all of them positive but for samples that could not be read.

    Raises:
        Damaged: they are not.
    """
    if len(facts.sizes) != 2 * len(rows) or any(not 0 <= one < 1 << 31 for one in facts.sizes):
        raise Damaged("the sizes of its images are not what was written")
    sizes = np.array(facts.sizes, np.int32).reshape(-1, 2)
    if any(row not in facts.bad for row in np.asarray(rows)[(sizes == 0).any(1)].tolist()):
        raise Damaged("an image has no size")
    return sizes


def write(
    path: Path,
    rows: Sequence[int],
    side: int,
    fill: Callable[[Pixels], Mapping[int, str]],
    sizes: Sizes | None = None,
    source: str = "",
) -> None:
    """Store the pixels that ``fill`` writes to zeros (n, side, side, 3); it returns unreadable rows with the reason.

    ``sizes``, which ``fill`` has filled too, are stored with them, and the ``source`` that they come from.

    Raises:
        OSError: there is no room, or no permission.
    """
    shape = len(rows), side, side, 3
    header = _header(shape)
    with replacing(path) as part, part.open("w+b") as file:
        file.write(header)
        _reserve(file, len(header) + math.prod(shape))
        pixels = np.memmap(file, np.uint8, "r+", len(header), shape)
        bad = fill(pixels)
        running, sums, flat = hashlib.sha256(), [], pixels.reshape(-1)
        for start in range(0, len(flat), _CHUNK):
            chunk = flat[start : start + _CHUNK].tobytes()
            running.update(chunk)
            sums.append(zlib.crc32(chunk))
        pixels.flush()
        facts = _Facts(
            key=path.stem,
            digest=running.hexdigest(),
            bad={row: _text(reason) for row, reason in bad.items()},
            sums=tuple(sums),
            sizes=() if sizes is None else tuple(sizes.ravel().tolist()),
            source=_text(source),
        )
        facts.write(path)  # first, so that images are never without it


class _Facts(BaseModel):
    """The ``.json``. Its ``seal`` is the hash of the other fields."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    key: str
    digest: str
    bad: dict[int, str]
    sums: tuple[int, ...]
    sizes: tuple[int, ...] = ()
    source: str = ""
    seal: str = ""

    def write(self, path: Path) -> None:
        sealed = self.model_copy(update={"seal": self._seal()})
        with replacing(path.with_suffix(".json")) as part:
            part.write_text(sealed.model_dump_json(exclude_defaults=True), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> _Facts:
        try:
            facts = cls.model_validate_json(path.with_suffix(".json").read_bytes())
        except (OSError, ValueError):
            raise Damaged(f"{path.stem}.json is missing, damaged or of an older version") from None
        if facts.seal != facts._seal() or facts.key != path.stem:
            raise Damaged(f"{path.stem}.json is not what was written")
        return facts

    def _seal(self) -> str:
        plain = self.model_dump_json(exclude={"seal"}, exclude_defaults=True)
        return hashlib.sha256(plain.encode()).hexdigest()


def _text(text: str) -> str:
    """With escapes for bytes outside UTF-8, which file names may have."""
    return text.encode(errors="backslashreplace").decode()


def _sums(file: IO[bytes], start: int, size: int, report: Callable[[int], None]) -> tuple[int, ...]:
    """The check sums of a file from ``start`` on. Read, not mapped: a broken disk is an error here, not a signal."""

    def one(offset: int) -> int:
        return zlib.crc32(os.pread(file.fileno(), min(_CHUNK, size - offset), start + offset))

    sums: list[int] = []
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="check") as pool:
        for each in pool.map(one, range(0, size, _CHUNK)):
            sums.append(each)
            report(min(size, len(sums) * _CHUNK))
    return tuple(sums)


def _header(shape: tuple[int, ...]) -> bytes:
    """The header of the ``.npy``, before the pixels."""
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return written.getvalue()


def _reserve(file: IO[bytes], size: int) -> None:
    # a full disk must be an error here: later, the memory map would be killed by a signal
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)
