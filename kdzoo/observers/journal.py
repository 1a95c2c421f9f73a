"""``metrics.jsonl``: what happened in a run, one JSON object a line. It is the source of truth.

Every row has ``event`` and ``time`` (seconds since 1970), and the fields of its event in :mod:`kdzoo.api.observer`:

==========  ========================================  =========================
``event``   written for                               further keys
==========  ========================================  =========================
start       :class:`~kdzoo.api.observer.RunStarted`   job, recipe, resumed
phase       :class:`~kdzoo.api.observer.PhaseStarted` phase, epochs, steps, epoch
epoch       :class:`~kdzoo.api.observer.EpochEnded`   phase, epoch, metrics
warning     :class:`~kdzoo.api.observer.Warned`       message
picture     :class:`~kdzoo.api.observer.Pictured`     name, path, epoch
result      :class:`~kdzoo.api.observer.RunEnded`     result
failed      :class:`~kdzoo.api.observer.RunFailed`    error
==========  ========================================  =========================

The file is strict JSON: NaN and infinities are written as ``null``. Paths within the run's folder are written
relative to it, so that the folder can be moved.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from kdzoo.api.observer import (
    EpochEnded,
    Event,
    Job,
    PhaseStarted,
    Pictured,
    RunEnded,
    RunFailed,
    RunStarted,
    Warned,
)
from kdzoo.errors import KdzooError

_NAMES: dict[type[Event], str] = {
    RunStarted: "start",
    PhaseStarted: "phase",
    EpochEnded: "epoch",
    Warned: "warning",
    Pictured: "picture",
    RunEnded: "result",
    RunFailed: "failed",
}


class Journal:
    """The writer of a run's ``metrics.jsonl``.

    It is no optional observer: where it cannot write, the run stops. Each row is given to the operating system
    before :meth:`observe` returns, so that a killed process loses none; no file stays open in between.

    Args:
        path: the file; what it holds is kept, except for a torn last line.

    Raises:
        KdzooError: (here and in every method) the file cannot be read or written: a full disk, a read-only
            folder.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._writing():
            if path.exists():
                os.truncate(path, path.read_bytes().rfind(b"\n") + 1)

    def observe(self, event: Event) -> None:
        """Append the event's row; events that have none (:class:`StepsDone`) are left out."""
        name = _NAMES.get(type(event))
        if name is None:
            return
        content = {one.name: getattr(event, one.name) for one in fields(event) if one.name != "folder"}
        row = {"event": name, "time": round(time.time(), 3), **content}
        line = json.dumps(self._plain(row), ensure_ascii=False, allow_nan=False) + "\n"
        with self._writing(), self.path.open("ab") as file:
            file.write(line.encode())

    def position(self) -> int:
        """The length of the file in bytes, once all of it has reached the disk; for a checkpoint."""
        with self._writing(), self.path.open("ab") as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size

    def truncate(self, position: int) -> None:
        """Cut the rows that were written after a checkpoint.

        Args:
            position: what :meth:`position` returned when the checkpoint was taken.

        Raises:
            KdzooError: the file is shorter than that, or has no end of a line there.

        """
        with self._writing():
            content = self.path.read_bytes() if self.path.exists() else b""
        if position > len(content) or content[:position][-1:] not in (b"", b"\n"):
            raise KdzooError(
                f"{self.path}: does not fit the checkpoint, which was taken when it had {position} bytes; "
                f"restore the file, or begin anew in another folder"
            )
        with self._writing(), self.path.open("ab") as file:
            file.truncate(position)
            os.fsync(file.fileno())

    def _plain(self, value: Any) -> Any:
        """``value`` as JSON knows it."""
        if isinstance(value, Job):
            value = {one.name: getattr(value, one.name) for one in fields(value)}
        if isinstance(value, Mapping):
            return {str(key): self._plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(item) for item in value]
        if isinstance(value, Path):
            folder = self.path.parent
            return str(value.relative_to(folder) if value.is_relative_to(folder) else value)
        if hasattr(value, "item"):  # a scalar of numpy or torch
            value = value.item()
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise KdzooError(
                f"{self.path}: cannot write the metrics of the run ({error.strerror or error}); "
                f"it needs a folder that can be written, with space left"
            ) from error


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``metrics.jsonl``, in order; a torn last line is left out.

    Raises:
        KdzooError: the file cannot be read, or a line before the last is not a JSON object.

    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise KdzooError(f"{path}: cannot be read ({error.strerror or error})") from error
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # nested too deeply
            row = None
        if isinstance(row, dict) and line.endswith(b"\n"):
            rows.append(row)
        elif number < len(lines):
            raise KdzooError(
                f"{path}, line {number}: not a JSON object, so this is no metrics.jsonl of kdzoo"
            )
    return rows
