"""Passes the events of a run to its journal and its observers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kdzoo.api.observer import Event, Observer, Warned
from kdzoo.observers.dispatch import Observers
from kdzoo.observers.journal import Journal


class Announcer:
    """Gets every event of a run and passes it on, each warning once.

    Args:
        observers: the run's observers.
        main: whether this is the main process; the others pass nothing on.
    """

    def __init__(self, observers: Iterable[Observer], *, main: bool) -> None:
        self._main = main
        self._journal: Journal | None = None
        self._early: list[Event] = []
        self._warned: set[Warned] = set()
        self._observers = Observers(observers if main else (), self._warn)

    def begin(self, metrics: Path, position: Sequence[Any] | None) -> None:
        """Begin the journal, or continue it from a checkpoint.

        Its first event is the next one; earlier events follow, unless the journal has them already.

        Args:
            metrics: the journal's file.
            position: the checkpoint's :meth:`position`; None without a checkpoint.
        """
        if not self._main:
            return
        if position is None:
            metrics.unlink(missing_ok=True)  # rows of a run that had no checkpoint yet
        self._journal = Journal(metrics)
        if position is not None:
            self._journal.truncate(position)
            self._early.clear()

    def notify(self, event: Event) -> None:
        """Pass ``event`` on: first to the journal, since it is the source of truth."""
        if not self._main:
            return
        if isinstance(event, Warned):
            if event in self._warned:
                return
            self._warned.add(event)
        if self._journal is None:
            self._early.append(event)
        else:
            for one in (event, *self._early):
                self._journal.observe(one)
            self._early.clear()
        self._observers.observe(event)

    def wants_figures(self, step: int) -> bool:
        """Whether an observer asks for the figures of the ``step``-th step of the run."""
        return self._observers.wants_figures(step)

    def position(self) -> list[Any]:
        """The journal's position, for a checkpoint."""
        assert self._journal is not None
        return self._journal.position()

    def close(self) -> None:
        """Close the observers."""
        self._observers.close()

    def _warn(self, message: str) -> None:
        if self._journal is None:
            self._early.append(Warned(message))
        else:
            self._journal.observe(Warned(message))
