"""``metrics.jsonl``: what happened in a run, one JSON object a line. It is the source of truth.

Every row has ``event`` and ``time`` (seconds since 1970), and the fields of its event in :mod:`kdzoo.api.observer`:

==========  ========================================  =========================
``event``   written for                               further keys
==========  ========================================  =========================
start       :class:`~kdzoo.api.observer.RunStarted`   job, recipe, resumed
phase       :class:`~kdzoo.api.observer.PhaseStarted` phase, epochs, steps, epoch
epoch       :class:`~kdzoo.api.observer.EpochEnded`   phase, epoch, metrics
note        :class:`~kdzoo.api.observer.Noted`        message
warning     :class:`~kdzoo.api.observer.Warned`       message
picture     :class:`~kdzoo.api.observer.Pictured`     name, path, epoch
result      :class:`~kdzoo.api.observer.RunEnded`     result
failed      :class:`~kdzoo.api.observer.RunFailed`    error
stopped     :class:`~kdzoo.api.observer.RunStopped`   why
==========  ========================================  =========================

The file is strict JSON: NaN and infinities are written as ``null``. Paths within the run's folder are written
relative to it, so that the folder can be moved.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from kdzoo.api.observer import (
    EpochEnded,
    Event,
    Job,
    Noted,
    PhaseStarted,
    Pictured,
    RunEnded,
    RunFailed,
    RunStarted,
    RunStopped,
    Warned,
)
from kdzoo.errors import Damaged, KdzooError

_NAMES: dict[type[Event], str] = {
    RunStarted: "start",
    PhaseStarted: "phase",
    EpochEnded: "epoch",
    Noted: "note",
    Warned: "warning",
    Pictured: "picture",
    RunEnded: "result",
    RunFailed: "failed",
    RunStopped: "stopped",
}


class Journal:
    """The writer of a run's ``metrics.jsonl``.

    It is no optional observer: where it cannot write, the run stops. Each row is given to the operating system
    before :meth:`observe` returns, so that a killed process loses none; no file stays open in between. Where somebody
    else changes the file during the run, its rows are written again.

    Args:
        path: the file; what it holds is kept, except for a torn last line.

    Raises:
        KdzooError: (here and in every method) the file cannot be read or written: a full disk, a read-only
            folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._writing():
            content = path.read_bytes() if path.exists() else b""
            self._rows = content[: content.rfind(b"\n") + 1]
            if self._rows != content:
                os.truncate(path, len(self._rows))

    def observe(self, event: Event) -> None:
        """Append the event's row; events that have none (:class:`StepsDone`) are left out."""
        row = row_of(event, self.path.parent)
        if row is None:
            return
        text = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
        line = text.encode(errors="backslashreplace")  # a file's name may be no UTF-8, and JSON knows \udcff
        self._keep()
        with self._writing(), self.path.open("ab") as file:
            file.write(line)
        self._rows += line

    def _keep(self) -> None:
        """Write the rows again that somebody else has removed or changed."""
        with self._writing():
            if (self.path.stat().st_size if self.path.exists() else 0) == len(self._rows):
                return
            self.path.write_bytes(self._rows)
        self.observe(Warned(f"{self.path.name} was changed during the run; its rows are written again"))

    def position(self) -> list[Any]:
        """The length of the file in bytes and its sha256, once all of it has reached the disk; for a checkpoint."""
        self._keep()
        with self._writing(), self.path.open("ab") as file:
            os.fsync(file.fileno())
        return [len(self._rows), hashlib.sha256(self._rows).hexdigest()]

    def truncate(self, position: Sequence[Any]) -> None:
        """Cut the rows that were written after a checkpoint.

        Args:
            position: what :meth:`position` returned when the checkpoint was taken.

        Raises:
            Damaged: the file does not begin with the rows of then.
        """
        length, digest = position
        rows = self._rows[:length]
        if len(rows) != length or hashlib.sha256(rows).hexdigest() != digest:
            raise Damaged(
                f"{self.path}: does not fit the checkpoint: its first {length} bytes are not those of then; "
                f"restore the file, or begin anew in another folder"
            )
        with self._writing(), self.path.open("ab") as file:
            file.truncate(length)
            os.fsync(file.fileno())
        self._rows = rows

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise KdzooError(
                f"{self.path}: cannot write the metrics of the run ({error.strerror or error}); "
                f"it needs a folder that can be written, with space left"
            ) from error


def row_of(event: Event, folder: Path) -> dict[str, Any] | None:
    """The row of an event of the run in ``folder``, with the time of now; None for an event that has none."""
    name = _NAMES.get(type(event))
    if name is None:
        return None
    content = {one.name: getattr(event, one.name) for one in fields(event) if one.name != "folder"}
    row: dict[str, Any] = _plain({"event": name, "time": round(time.time(), 3), **content}, folder)
    return row


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``metrics.jsonl``, in order; a torn last line is left out.

    Raises:
        Damaged: a line before the last is not a JSON object.
        KdzooError: the file cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise KdzooError(f"{path}: cannot be read ({error.strerror or error})") from error
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # RecursionError: nested too deeply
            row = None
        if isinstance(row, dict) and line.endswith(b"\n"):
            rows.append(row)
        elif number < len(lines):
            raise Damaged(f"{path}, line {number}: not a JSON object, so this is no metrics.jsonl of kdzoo")
    return rows


def _plain(value: Any, folder: Path) -> Any:
    """``value`` as JSON knows it."""
    if isinstance(value, Job):
        value = {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, folder) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, folder) for item in value]
    if isinstance(value, Path):
        return str(value.relative_to(folder) if value.is_relative_to(folder) else value)
    if hasattr(value, "item"):  # a scalar of numpy or torch
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
