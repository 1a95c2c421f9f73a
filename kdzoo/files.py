"""Files that are written whole or not at all, and paths that stay in their folder."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from kdzoo.errors import KdzooError, shortened


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write a file to; it takes the place of ``path`` unless the block raises.

    Its name ends with ``.part`` and is unique, also between machines that share the folder. A process that is killed
    leaves it there.

    Raises:
        OSError: it cannot be put there.
    """
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` make a file beside ``path``, then put it there: a crash leaves the old file or the new one.

    Args:
        path: the file to replace.
        write: writes its argument, a path in the same folder.

    Raises:
        KdzooError: it cannot be written; the old file is kept.
    """
    try:
        with replacing(path) as part:
            write(part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
    except OSError as error:
        raise KdzooError(f"{path}: cannot be written: {error.strerror or error}") from None


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all; see :func:`replace_file`."""
    replace_file(path, lambda part: _write(part, text))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file with sorted keys, whole or not at all; see :func:`replace_file`."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def file_digest(*paths: Path) -> str | None:
    """A hash of the content of these files, wherever they lie; None if one cannot be read."""
    digests = [sha256_of(path) or "" for path in paths]
    return hashlib.sha256("".join(digests).encode()).hexdigest() if all(digests) else None


def sha256_of(path: Path) -> str | None:
    """The sha256 of a file, as 64 hex digits; None if it cannot be read.

    A file that has not changed since is not read again.
    """
    try:
        facts = path.stat()
        return _digest(path, facts.st_size, facts.st_mtime_ns)
    except OSError:
        return None


def absolute(path: Path) -> Path:
    """The path with ``~`` filled in, from the root, links followed.

    Raises:
        KdzooError: there is no such user, or the links go in a circle.
    """
    try:
        return path.expanduser().resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise KdzooError(
            f"{shortened(path, quoted=False)}: {getattr(error, 'strerror', None) or error}"
        ) from None


def folder_name(text: str) -> str:
    """``text`` as the name of one folder: nothing that separates folders, no dot at the start, not too long."""
    plain = re.sub(r"[/\\\x00-\x1f\x7f]", "-", text).lstrip(".")
    return plain.encode(errors="replace")[:200].decode(errors="ignore") or "unnamed"


def inside(folder: Path, name: str) -> Path:
    """The path ``name`` below ``folder``, as a row or a ledger in that folder gives it.

    Raises:
        KdzooError: it is absolute, or leads out of the folder, by ``..`` or by a link.
    """
    try:
        found = (folder / name).resolve()
        if found.is_relative_to(folder.resolve()):
            return found
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, links in a circle
        pass
    raise KdzooError(f"{folder}: the path {shortened(name)} leads out of the folder")


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
