"""Outputs of the present step, each computed once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kdzoo.api.batch import Batch, Output


@dataclass(frozen=True)
class _Entry:
    batch: Batch  # held, so that its id cannot be given to another batch
    output: Output
    origins: frozenset[str]


class Memo:
    """(role, batch, graph or not) -> output, with the roles that it came from."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, int, bool], _Entry] = {}

    def get(self, role: str, batch: Batch, graph: bool) -> tuple[Output, frozenset[str]] | None:
        """What ``role`` answered to ``batch`` in this step, if it was asked."""
        entry = self._entries.get((role, id(batch), graph))
        return (entry.output, entry.origins) if entry else None

    def put(self, role: str, batch: Batch, graph: bool, output: Output, origins: Iterable[str]) -> None:
        """Remember ``role``'s answer and where it came from."""
        self._entries[role, id(batch), graph] = _Entry(batch, output, frozenset(origins))

    def forget(self, roles: Iterable[str]) -> None:
        """Drop every output that came from one of ``roles``."""
        changed = frozenset(roles)
        self._entries = {key: entry for key, entry in self._entries.items() if not entry.origins & changed}

    def clear(self) -> None:
        """Drop everything: the step is over."""
        self._entries.clear()
