"""Files that are written whole or not at all, and YAML that is read with care."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from kdzoo.errors import KdzooError


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


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, read with the safe loader.

    Raises:
        KdzooError: it does not exist, is not YAML, or is not a mapping; names the file and the line.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_SafeLoader)
    except OSError as error:
        raise KdzooError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise KdzooError(f"{path}: not a text file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise KdzooError(f"{path}{line}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(data, dict):
        raise KdzooError(f"{path}: expected keys with values, found {type(data).__name__}")
    return data


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
