"""One process writes a folder; a second one is told who does."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from kdzoo.errors import KdzooError
from kdzoo.files import write_json


class Owner:
    """The right to write ``folder``, which exists. The system gives it back when its holder dies.

    On a network file system the lock holds between machines where the server supports locks. Where there are none,
    :attr:`note` says so and nothing is locked.

    Args:
        folder: in which the files ``.lock`` and ``.owner.json`` are made while it is owned.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.note: str | None = None
        self._lock = FileLock(folder / ".lock", timeout=0)
        self._name = folder / ".owner.json"

    def take(self) -> None:
        """Become the owner.

        Raises:
            KdzooError: another process is; names its machine, its process id and since when.
        """
        try:
            self._lock.acquire()
        except Timeout:
            raise KdzooError(
                f"{self.folder}: {holder(self.folder)} writes this folder; wait until it ends, or take another"
            ) from None
        except (NotImplementedError, OSError) as error:
            self.note = f"{self.folder}: cannot be locked here ({error}); let no other process write it"
            return
        me = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now().isoformat(" ", "seconds"),
        }
        with suppress(KdzooError):  # whoever is refused is told less
            write_json(self._name, me)

    def release(self) -> None:
        """Let others write the folder."""
        if self._lock.is_locked:
            with suppress(OSError):
                self._name.unlink(missing_ok=True)
                # Still locked: who waits for it makes a new one.
                Path(self._lock.lock_file).unlink(missing_ok=True)
            self._lock.release()

    @contextmanager
    def held(self) -> Iterator[str | None]:
        """:meth:`take` it, and :meth:`release` it in the end; :attr:`note`."""
        self.take()
        try:
            yield self.note
        finally:
            self.release()


def holder(folder: Path) -> str:
    """Who owns the folder, in words."""
    try:
        found = json.loads((folder / ".owner.json").read_text(encoding="utf-8"))
        return f"process {found['pid']} on {found['host']}, since {found['since']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
