"""The files below a folder: which are images, which are not, and which are there twice by links."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from timm.utils.misc import natural_key

from kdzoo.data.formats import is_image
from kdzoo.errors import KdzooError


@dataclass(frozen=True)
class Tree:
    """Paths below a folder, with ``/`` between their parts, in timm's natural order.

    Attributes:
        images: the files that are images by their suffix, or without one by their first bytes.
        others: the other files.
        again: links to a folder above, or to a file or a folder that is there already.

    """

    images: tuple[str, ...]
    others: tuple[str, ...]
    again: tuple[str, ...]


def tree(root: Path) -> Tree:
    """What lies below ``root``. Names that begin with a dot are passed over.

    Links are followed after everything else, so that a file keeps its own name, and each file and folder is
    taken once: a link to a folder above would otherwise repeat the whole tree.

    Raises:
        KdzooError: a folder cannot be read.

    """
    top = os.path.realpath(root)
    seen: set[str] = set()
    files: list[str] = []
    again: list[str] = []
    links: list[tuple[str, str]] = []
    folders = deque([(str(root), top)])
    while folders or links:
        if not folders:
            found, links = sorted(links), []
            for path, target in found:
                if target in seen or f"{top}/".startswith(f"{target.rstrip('/')}/"):
                    again.append(path)
                elif os.path.isdir(path):
                    folders.append((path, target))
                else:  # a dangling link too: decoding will find it unreadable
                    seen.add(target)
                    files.append(path)
            continue
        folder, real = folders.popleft()
        if real in seen:
            again.append(folder)
            continue
        seen.add(real)
        for entry in _entries(folder):
            if entry.is_symlink():
                links.append((entry.path, os.path.realpath(entry.path)))
            elif entry.is_dir():
                folders.append((entry.path, f"{real}/{entry.name}"))
            elif not entry.is_file():  # a pipe would make its reader wait
                continue
            elif f"{real}/{entry.name}" in seen:
                again.append(entry.path)
            else:
                seen.add(f"{real}/{entry.name}")
                files.append(entry.path)
    image = [is_image(file) for file in files]
    return Tree(
        _ordered(root, (file for file, is_one in zip(files, image, strict=True) if is_one)),
        _ordered(root, (file for file, is_one in zip(files, image, strict=True) if not is_one)),
        _ordered(root, again),
    )


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise KdzooError(f"{folder} cannot be read: {error.strerror or error}") from None


def _ordered(root: Path, files: Iterator[str] | list[str]) -> tuple[str, ...]:
    # plain strings: paths as objects would double the time of a scan
    below = (file[len(str(root)) + 1 :].replace(os.sep, "/") for file in files)
    return tuple(sorted(below, key=lambda name: (natural_key(name), name)))
