"""What several data sets have in common: found and decoded for the first, and kept for the others."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Thing = TypeVar("Thing")


class Once:
    """Makes each thing once.

    Given to several calls of :func:`kdzoo.data.open.open_data`, it lets them share the samples that they find and
    decode, and the memory that these take on the device.
    """

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], Thing]) -> Thing:
        """What ``make`` returned when it was first asked for under this key."""
        if key not in self._made:
            self._made[key] = make()
        made: Thing = self._made[key]
        return made

    def made(self, kind: str) -> int:
        """How many things there are whose key begins with ``kind``."""
        return sum(isinstance(key, tuple) and key[:1] == (kind,) for key in self._made)
