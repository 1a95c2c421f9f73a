"""One process at a time writes a folder or makes a thing, on one machine or on several that share the files."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import psutil  # type: ignore[import-untyped]  # psutil has no types
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kdzoo.errors import KdzooError, shortened

STALE = "KDZOO_STALE_SECONDS"
"""Environment variable: after so many seconds without a sign of life an owner on another machine counts as dead."""

_STALE_SECONDS = 60.0
_BEATS = 6
"""Signs of life in that time."""
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
"""Seconds between the looks of a process that waits; then always the last."""
_MOST_BYTES = 4096


class NotOwner(KdzooError):
    """Another process has what this one wrote: no file of it may be touched any more."""


class _Marker(BaseModel):
    """What the file of an owner says.

    Attributes:
        host: the machine's name, for people.
        machine: where ``pid`` means something: host, boot, and the process namespace of a container.
        pid: of the process.
        start: when it began, as the system counts; numbers of processes are used again.
        since: when it became the owner, for people.
        token: of this owner alone.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    host: str
    machine: str
    pid: Annotated[int, Field(gt=0, lt=1 << 31)]
    start: str | None
    since: str
    token: str

    def __str__(self) -> str:
        host, since = (shortened(one, quoted=False) for one in (self.host, self.since))
        return f"process {self.pid} on {host}, since {since},"


@dataclass(frozen=True)
class _Found:
    """A file that was looked at: its content, if it is one of ours, and its state, which changes with every beat."""

    marker: _Marker | None
    state: tuple[str, int]

    def __str__(self) -> str:
        return "another process" if self.marker is None else str(self.marker)


class Owner:
    """The right to write a folder or to make a file, which a small file in its folder stands for.

    No lock of the system is used, for on network file systems these fail, or hold on one machine alone. The file is
    made by a hard link, which is atomic on all of them, and touched several times a minute. An owner that has died is
    replaced: at once where the process ran on this machine, else when its file has not changed for a minute
    (:data:`STALE`), by the watch of the one who looks. An owner that was replaced although it lives, such as one on a
    machine that slept, learns it by :meth:`check`.

    Args:
        folder: where the file is made; it exists.
        name: of the file.
    """

    def __init__(self, folder: Path, name: str = ".owner") -> None:
        self._file = folder / name
        self._what = folder if name == ".owner" else folder / name.removesuffix(".owner")
        self.note: str | None = None
        """What should be known about how the right was got."""
        self._token: str | None = None
        self._ended = threading.Event()
        self._lost: str | None = None
        self._beaten = 0.0
        self._seen: tuple[tuple[str, int], float] | None = None
        self._moved = False
        self._stale = _stale_seconds()

    @classmethod
    def of(cls, thing: Path) -> Owner:
        """The right to make ``thing``, a file or a folder that may be missing; its folder exists."""
        return cls(thing.parent, f"{thing.name}.owner")

    def take(self) -> None:
        """Become the owner. If the one that is there is on another machine, this first looks whether it lives.

        Raises:
            KdzooError: another process is; names its machine, its process id and since when. Or the folder cannot be
                written.
        """
        try:
            for pause in _pauses():
                found = self._attempt()
                if found is None:
                    return
                if self._moved or _is_here(found):
                    raise KdzooError(
                        f"{self._what}: {found} writes this folder; wait until it ends, or take another"
                    )
                time.sleep(pause)
        except OSError as error:
            raise KdzooError(f"{self._what}: cannot be written: {error.strerror or error}") from None

    def await_turn(self, tell: Callable[[str], None], seconds: float = float("inf")) -> bool:
        """Become the owner, after the present one if there is one; whether that came about in so many ``seconds``.

        Args:
            tell: is told for whom it waits, in one line.
            seconds: to wait.

        Raises:
            OSError: the folder cannot be written.
        """
        until, told = time.monotonic() + seconds, ""
        for pause in _pauses():
            found = self._attempt()
            if found is None:
                break
            if (line := f"{self._what}: {found} makes it; waiting") != told:
                tell(told := line)
            if time.monotonic() >= until:
                return False
            time.sleep(pause)
        return True

    def check(self) -> None:
        """Refuse to go on if the right is lost.

        Raises:
            NotOwner: another process has it.
        """
        if self._token is not None and time.time() - self._beaten > self._stale / 2:
            with suppress(OSError):  # it slept, and may not have found out yet
                self._lost = self._lost or self._taker(self._token)
        if self._lost is not None:
            raise NotOwner(
                f"{self._what}: {self._lost} has taken it over, for this process was not heard of for "
                f"{self._stale:g} s; this one ends here"
            )

    def release(self) -> None:
        """Let others have it."""
        token, self._token = self._token, None
        self._ended.set()
        if token is None:
            return
        with suppress(OSError):
            if self._taker(token) is None:
                self._file.unlink()

    @contextmanager
    def held(self) -> Iterator[str | None]:
        """:meth:`take` it, and :meth:`release` it in the end; :attr:`note`."""
        self.take()
        try:
            yield self.note
        finally:
            self.release()

    @contextmanager
    def awaited(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Wait for it, see :meth:`await_turn`, and :meth:`release` it in the end."""
        self.await_turn(tell)
        try:
            yield
        finally:
            self.release()

    def _attempt(self) -> _Found | None:
        """Become the owner if there is none, or a dead one; else who it is."""
        while (found := _look(self._file)) is not None:
            if not self._is_dead(found):
                return found
            if not _is_here(found):
                self.note = f"{self._what}: {found} was not heard of for {self._stale:g} s: taken over"
            _remove(self._file, found)
        return None if self._make() else _Found(None, ("", 0))

    def _is_dead(self, found: _Found) -> bool:
        if found.marker is not None and _is_here(found):
            return not _lives(found.marker)
        now = time.monotonic()
        if self._seen is None or self._seen[0] != found.state:
            self._moved = self._moved or self._seen is not None
            self._seen = found.state, now
        return now - self._seen[1] >= self._stale

    def _make(self) -> bool:
        token = uuid.uuid4().hex
        marker = _Marker(
            host=socket.gethostname(),
            machine=_machine(),
            pid=os.getpid(),
            start=_start(os.getpid()),
            since=datetime.now().isoformat(" ", "seconds"),
            token=token,
        )
        if not _create(self._file, marker.model_dump_json()):
            return False
        self._token, self._lost, self._beaten, self._ended = token, None, time.time(), threading.Event()
        threading.Thread(target=self._beat, args=(token, self._ended), name="owner", daemon=True).start()
        return True

    def _beat(self, token: str, ended: threading.Event) -> None:
        """Touch the file until the end, or until it is somebody else's twice: it may be moved aside for a moment."""
        missed = 0
        while not ended.wait(self._stale / _BEATS):
            try:
                taker = self._taker(token)
                if taker is None:
                    os.utime(self._file)
                    missed, self._beaten = 0, time.time()
                    continue
            except OSError:  # the server does not answer, as it does not answer those who could take over
                continue
            missed += 1
            if missed > 1 and not ended.is_set():
                self._lost = taker
                return

    def _taker(self, token: str) -> str | None:
        """Who has the file in place of the owner with this token, in words; None if that is still there."""
        found = _look(self._file)
        return None if found is not None and found.state[0] == token else str(found or "another process")


def _pauses() -> Iterator[float]:
    yield from _PAUSES
    while True:
        yield _PAUSES[-1]


def _look(file: Path) -> _Found | None:
    """What is there; None if there is nothing. Opened each time: a network file system then asks its server."""
    try:
        with file.open("rb") as opened:
            content, changed = opened.read(_MOST_BYTES), os.fstat(opened.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ESTALE:  # removed since it was opened
            return None
        raise
    try:
        marker = _Marker.model_validate_json(content)
    except ValidationError:
        return _Found(None, (content.decode(errors="replace"), changed))
    return _Found(marker, (marker.token, changed))


def _create(file: Path, content: str) -> bool:
    """Make a file with this content unless it is there, whole or not at all; whether it was made."""
    part = file.with_name(f"{file.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_text(content, encoding="utf-8")
        return _name(part, file)
    finally:
        part.unlink(missing_ok=True)


def _name(part: Path, file: Path) -> bool:
    """Give ``part`` the further name ``file``, unless that is taken; whether it has it."""
    try:
        os.link(part, file)
    except FileExistsError:
        try:
            return os.path.samefile(part, file)  # an answer that was lost on the net is asked for again
        except FileNotFoundError:
            return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        try:  # no hard links here: whoever looks before it is written sees a file without an owner's name
            with file.open("x", encoding="utf-8") as made:
                made.write(part.read_text(encoding="utf-8"))
        except FileExistsError:
            return False
    return True


def _remove(file: Path, dead: _Found) -> None:
    """Remove the file of a dead owner; if another process was faster, its file is put back."""
    aside = file.with_name(f"{file.name}.{uuid.uuid4().hex}.part")
    with suppress(FileNotFoundError):
        file.rename(aside)
        found = _look(aside)
        if found is not None and found.state != dead.state:
            _name(aside, file)
        aside.unlink()


def _is_here(found: _Found) -> bool:
    return found.marker is not None and found.marker.machine == _machine()


def _lives(marker: _Marker) -> bool:
    """Whether a process of this machine still runs, and its number is not another one's by now."""
    if not psutil.pid_exists(marker.pid):
        return False
    now = _start(marker.pid)
    return now != "" and (now is None or marker.start is None or now == marker.start)


def _start(pid: int) -> str | None:
    """When a process began, in the ticks of Linux since the boot; empty if it has ended; None if nobody says it."""
    try:
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return None


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        boot, space = str(psutil.boot_time()), 0
    return f"{socket.gethostname()} {boot} {space}"


def _stale_seconds() -> float:
    given = os.environ.get(STALE)
    if not given:
        return _STALE_SECONDS
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise KdzooError(f"{STALE} {shortened(given)}: a number of seconds above 0 is needed")
    return seconds
