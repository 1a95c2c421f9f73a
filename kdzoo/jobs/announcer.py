"""Tells the journal and the observers of a run what happens in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kdzoo.api.observer import Event, Observer, Warned
from kdzoo.observers.dispatch import Observers
from kdzoo.observers.journal import Journal


class Announcer:
    """The one to whom every part of a run reports.

    Args:
        observers: who is told.
        main: whether this process does so; the others of a run are silent.
    """

    def __init__(self, observers: Iterable[Observer], *, main: bool) -> None:
        self._main = main
        self._journal: Journal | None = None
        self._early: list[Event] = []
        self._observers = Observers(observers if main else (), self._warn)

    def begin(self, metrics: Path, position: Sequence[Any] | None) -> None:
        """Begin the journal, or go on with it where a checkpoint was taken.

        Its first event is the next one; what was told earlier follows, unless it is there from before.

        Args:
            metrics: the journal's file.
            position: what :meth:`position` was when the checkpoint was taken; None without one.
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
        """Tell of ``event``: the journal first, since it is the source of truth."""
        if not self._main:
            return
        if self._journal is None:
            self._early.append(event)
        else:
            for one in (event, *self._early):
                self._journal.observe(one)
            self._early.clear()
        self._observers.observe(event)

    def position(self) -> list[Any]:
        """How far the journal is, for a checkpoint."""
        assert self._journal is not None
        return self._journal.position()

    def close(self) -> None:
        """Close the observers."""
        self._observers.close()

    def _warn(self, message: str) -> None:
        if self._journal is not None:
            self._journal.observe(Warned(message))
