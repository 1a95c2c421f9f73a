"""Stopping when asked to: by Ctrl-C, by the system, or by a scheduler before its time limit."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""What Ctrl-C, the system and schedulers send."""


class Stopped(KeyboardInterrupt):
    """A signal ended the work. Like Ctrl-C, it is no error that anybody should handle on its way.

    Args:
        number: the signal's.
        where: how far the work had come; default: not known.
    """

    def __init__(self, number: int, where: str = "") -> None:
        self.number, self.where = number, where
        super().__init__(f"stopped by {signal.Signals(number).name}{where and f' {where}'}")

    @property
    def exit_code(self) -> int:
        """As shells have it: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number


def was_stopped(code: int | None) -> bool:
    """Whether a process with this exit code was asked to stop; see :attr:`Stopped.exit_code`."""
    return code in {one for number in SIGNALS for one in (-number, 128 + number)}


class Stop:
    """Whether the work shall stop: at a good moment where somebody looks at :attr:`asked`, elsewhere at once.

    Args:
        once: ignore what comes after the first signal; default: the second stops at once.
    """

    def __init__(self, *, once: bool = False) -> None:
        self.asked: int | None = None
        """The signal that asked for it."""
        self._once, self._waits, self._process = once, False, os.getpid()

    @contextmanager
    def listening(self, signals: Sequence[signal.Signals] = SIGNALS) -> Iterator[None]:
        """Take these signals as the wish to stop. Only the main thread gets signals; elsewhere this does nothing.

        Raises:
            Stopped: a signal arrived where nobody looks at :attr:`asked`, or the second one.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._take) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Here somebody looks at :attr:`asked`, and raises :class:`Stopped` once all is saved."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked reader: Ctrl-C is for the process that it reads for
            if number == signal.SIGTERM:
                os._exit(128 + number)
            return
        first = self.asked is None
        self.asked = self.asked or number
        if self._once and not first:
            return
        if self._waits and first:
            if not self._once and os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0":
                # not print(), which may be what the signal interrupts
                os.write(2, b"\nkdzoo: stopping after this step; another signal stops at once\n")
            return
        if not self._once:
            signal.signal(number, signal.SIG_DFL)  # the next one does not wait for the cleanup
        raise Stopped(number)
