"""Features of pictures in an array on disk."""

from __future__ import annotations

import json
from array import array
from pathlib import Path

import numpy as np

from kdzoo.errors import KdzooError
from kdzoo.files import replace_file, write_text
from kdzoo.use.predict import Prediction
from kdzoo.use.words import printable


class FeatureFile:
    """Collects features, four bytes a number; written at the end, with the pictures' names beside it.

    Args:
        path: a ``.npy``.

    Raises:
        KdzooError: of another kind, or its folder is not there.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix != ".npy" or not path.absolute().parent.is_dir():
            raise KdzooError(f"--features {path}: expected a file FOLDER/NAME.npy in a folder that is there")
        self._path = path
        self._numbers = array("f")
        self._names: list[str] = []

    def add(self, one: Prediction) -> None:
        """Take a picture's features; an unreadable picture has none, and its reason is printed."""
        if one.output is None:
            print(printable(f"{one.name}  unreadable: {one.problem}"))
            return
        self._numbers.frombytes(one.output.numpy().astype(np.float32).tobytes())
        self._names.append(one.name)

    def write(self) -> str:
        """Write ``(pictures, features)`` float32 and the names; says so."""
        vectors = np.frombuffer(self._numbers, np.float32).reshape(len(self._names), -1)

        def save(part: Path) -> None:
            with part.open("wb") as file:
                np.save(file, vectors)

        replace_file(self._path, save)
        names = self._path.with_suffix(".json")
        write_text(names, json.dumps(self._names, indent=0) + "\n")
        return f"{self._path}  {vectors.shape[0]} x {vectors.shape[1]} float32; the pictures in {names.name}"
