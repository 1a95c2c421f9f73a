"""Hands every event to every observer, and lets none of them stop a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kdzoo.api.observer import Event, Observer, StepFigures, Warned


class Observers:
    """A group of observers.

    One that raises is dropped. That is reported once: to the others as a :class:`Warned` event, and to ``warn``.

    Args:
        observers: who is told, in this order.
        warn: is given the message about each observer that is dropped, for the journal. It must not pass the
            message on to this group, whose other members have been told.
    """

    def __init__(self, observers: Iterable[Observer], warn: Callable[[str], None]) -> None:
        self._all = tuple(observers)
        self._active = list(self._all)
        self._every = {id(one): one.figures_every for one in self._all}
        self._warn = warn

    def wants_figures(self, step: int) -> bool:
        """Whether one of them asks for the figures of the ``step``-th step."""
        return any(self._asks(one, step) for one in self._active)

    def _asks(self, observer: Observer, step: int) -> bool:
        every = self._every[id(observer)]
        return every is not None and every > 0 and step % every == 0

    def observe(self, event: Event) -> None:
        """Tell every observer that has not been dropped; figures of a step to those alone that ask for them."""
        for observer in tuple(self._active):
            # An observer further down the list may have been dropped while it was told of another's failure.
            if observer not in self._active:
                continue
            if isinstance(event, StepFigures) and not self._asks(observer, event.step):
                continue
            try:
                observer.observe(event)
            except Exception as error:
                self._active.remove(observer)
                self._report(observer, error, "and is dropped")

    def close(self) -> None:
        """Close every observer, the dropped ones as well; to be called once.

        What a dropped observer raises here is left out: it has been reported already.
        """
        for observer in self._all:
            try:
                observer.close()
            except Exception as error:
                if observer in self._active:
                    self._active.remove(observer)
                    self._report(observer, error, "while it was closed")
        self._active.clear()

    def _report(self, observer: Observer, error: Exception, when: str) -> None:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        message = f"observer {observer.name!r} failed {when}; the run goes on ({reason})"
        self._warn(message)
        self.observe(Warned(message))
