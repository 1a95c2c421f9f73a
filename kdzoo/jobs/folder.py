"""The folder of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kdzoo.errors import Damaged, KdzooError
from kdzoo.files import sha256_of
from kdzoo.observers.journal import read_journal
from kdzoo.owner import Owner
from kdzoo.recipe.identity import IDENTITY_FILE


class RunFolder:
    """The folder of a run: ``recipe.yaml``, ``metrics.jsonl``, ``checkpoint/``, ``student/``, ...

    Raises:
        KdzooError: the folder cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.metrics = path / "metrics.jsonl"
        self.checkpoint = path / "checkpoint"
        self.student = path / "student"
        self.provenance = path / "provenance.json"
        self.owner = Owner(path)
        self._made = [one for one in (self.checkpoint, path, *path.parents) if not one.exists()]
        try:
            self.checkpoint.mkdir(parents=True, exist_ok=True)
            probe = path / f".writable-{os.getpid()}"  # two processes of one run may do this at the same time
            probe.write_text("x")
            probe.unlink()
        except OSError as error:
            raise KdzooError(f"{path}: cannot write the output folder: {error.strerror or error}") from None

    def check_new(self, resume: bool) -> None:
        """Refuse a folder with a run in it, unless it is to be resumed."""
        if self.metrics.exists() and not resume:
            raise KdzooError(
                f"{self.path}: already holds a run; pass --resume to go on with it, or another --output"
            )

    def clear(self) -> None:
        """Remove everything written, if bad input was found before the first checkpoint."""
        for file in (self.metrics, self.recipe, self.path / IDENTITY_FILE):
            file.unlink(missing_ok=True)

    def leave(self) -> None:
        """After a failure: remove the folders that were made for this run and are still empty."""
        with suppress(OSError):
            for folder in self._made:
                folder.rmdir()


def exported(folder: Path) -> dict[str, str]:
    """Path in ``student/`` -> sha256, for a run's result; texts for people are left out."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".md"]
    return {path.relative_to(folder).as_posix(): sha256_of(path) or "" for path in files}


def damage(path: Path, result: Mapping[str, Any]) -> str | None:
    """What is wrong with the exported student of the finished run in ``path``; None if it is whole."""
    files = result.get("files")
    if not isinstance(files, dict) or not files:
        return f"{path / 'metrics.jsonl'}: its result does not say what was exported"
    for name, digest in files.items():
        file = path / "student" / str(name)
        if not file.resolve().is_relative_to(path.resolve()) or sha256_of(file) != digest:
            return f"{file}: {'damaged' if file.exists() else 'missing'}"
    return None


def is_whole(path: Path) -> bool:
    """Whether the run in the folder ``path`` is finished, and neither its journal nor its student is damaged."""
    try:
        result = finished(path)
    except Damaged:
        return False
    return result is not None and damage(path, result) is None


def finished(path: Path) -> dict[str, Any] | None:
    """The result of the run in the folder ``path``; None if there is no run or it is not finished."""
    metrics = path / "metrics.jsonl"
    if not metrics.exists():
        return None
    rows = [row for row in read_journal(metrics) if row.get("event") == "result"]
    result: dict[str, Any] | None = rows[-1].get("result") if rows else None
    return result
