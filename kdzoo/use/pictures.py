"""Which pictures are meant: files, folders, globs, and names on standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from kdzoo.data.tree import tree
from kdzoo.errors import KdzooError


@dataclass(frozen=True)
class Picture:
    """A file by its name; ``problem`` says why it cannot be one, else it is empty."""

    name: str
    problem: str = ""


def find_pictures(given: Iterable[str], stream: TextIO | None = None) -> Iterator[Picture]:
    """The pictures that each name stands for, found as they are asked for.

    Args:
        given: files, taken whatever their suffix; folders, of which every picture below is taken; patterns with
            ``*``, ``?``, ``**``; ``-`` for names on ``stream``, one a line.
        stream: default: standard input.
    """
    for name in given:
        if name == "-":
            lines = (line.rstrip("\r\n") for line in stream or sys.stdin)
            yield from (one for line in lines if line for one in _meant(line))
        else:
            yield from _meant(name)


def _meant(name: str) -> Iterator[Picture]:
    path = os.path.expanduser(name)
    if os.path.isdir(path):
        try:
            below = tree(Path(path)).images
        except KdzooError as error:
            yield Picture(name, str(error))
            return
        yield from (Picture(os.path.join(path, one)) for one in below)
        if not below:
            yield Picture(name, "no pictures below this folder")
    elif os.path.lexists(path):
        yield Picture(path, "" if os.path.isfile(path) else "not a file")
    elif glob.has_magic(path):
        found = False
        for one in sorted(glob.iglob(path, recursive=True)):
            if os.path.isfile(one):
                found = True
                yield Picture(one)
        if not found:
            yield Picture(name, "no file matches")
    else:
        yield Picture(name, "no such file")
