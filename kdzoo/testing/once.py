"""What several checks of one component share is made once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from kdzoo.testing.subject import Subject

Made = TypeVar("Made")


class OncePerSubject(Generic[Made]):
    """Calls a function of a subject, and keeps its result until another subject is asked for.

    Args:
        make: the function; only the latest result is kept, since it contains networks.
    """

    def __init__(self, make: Callable[[Subject], Made]) -> None:
        self._make = make
        self._kept: tuple[tuple[Any, ...], Made] | None = None

    def __call__(self, subject: Subject) -> Made:
        """The result for this subject."""
        key = subject.found.component, subject.method, repr(sorted(subject.settings.items()))
        if self._kept is None or self._kept[0] != key:
            self._kept = None
            self._kept = key, self._make(subject)
        return self._kept[1]
