"""Writes recorded answers in the background, within a limit; a full disk ends the recording and not the run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from kdzoo.engine.stored_epoch import Recording
from kdzoo.owner import Owner

_WAITING = 4
"""Epochs that may wait to be written; beyond them, recording waits."""


class Writer:
    """Writes to folders of answers, each of at most ``limit`` bytes.

    Attributes:
        on: whether it still writes.
    """

    def __init__(self, limit: int, warn: Callable[[str], None]) -> None:
        self._limit = limit
        self._warn = warn
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self._waiting: dict[Path, Future[None]] = {}
        self._used: dict[Path, int] = {}
        self.on = limit > 0

    def make(self, folder: Path) -> bool:
        """Make the folder; whether it is there. What lies in it counts against the limit."""
        if not self.on:
            return False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._used[folder] = sum(one.stat().st_size for one in folder.glob("*.safetensors"))
        except OSError as error:
            self.stop(f"{folder}: {error.strerror or error}")
        return self.on

    def write(self, recording: Recording, path: Path) -> bool:
        """Write it to ``path`` unless it is there, or another process is writing it; whether there is room for it."""
        self._settle(_WAITING - 1)
        used = self._used.get(path.parent, 0) + recording.size
        if not self.on:
            return False
        if used > self._limit:
            self.stop(f"{path.parent.name}: more than store_gb = {self._limit / 1e9:g} in all")
            return False
        self._used[path.parent] = used
        self._waiting[path] = self._pool.submit(_write, recording, path)
        return True

    def stop(self, why: str) -> None:
        """Record no more; the run goes on."""
        if self.on:
            self.on = False
            self._warn(f"the teacher's further answers are not kept: {why}")

    def finish(self, path: Path) -> None:
        """Wait until ``path`` is written, if it is being written."""
        if path in self._waiting:
            self._settle(0)

    def close(self) -> None:
        """Wait for what is being written."""
        self._settle(0)
        self._pool.shutdown()

    def _settle(self, left: int) -> None:
        while len(self._waiting) > left:
            first = next(iter(self._waiting))
            try:
                self._waiting.pop(first).result()
            except OSError as error:
                self.stop(str(error.strerror or error))


def _write(recording: Recording, path: Path) -> None:
    owner = Owner.of(path)
    try:
        if owner.await_turn(lambda line: None, seconds=0.0) and not path.exists():
            recording.write(path)
    finally:
        owner.release()
