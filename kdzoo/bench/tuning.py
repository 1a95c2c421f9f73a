"""Choosing between candidate settings by validation accuracy; the test split is not looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdzoo.bench.plan import Entry, Search

CRITERION = "val/last"
"""Validation accuracy in percent at the last epoch, as the leaderboard's main column is taken at the last epoch."""


@dataclass(frozen=True)
class Tried:
    """A candidate after its run. ``value`` is :data:`CRITERION`, None if the run failed or has none."""

    settings: Mapping[str, Any]
    value: float | None
    folder: str


@dataclass(frozen=True)
class Choice:
    """The result of a search. ``chosen`` counts from 0; None if no candidate could be measured."""

    entry: Entry
    seed: int
    tried: tuple[Tried, ...]
    chosen: int | None


def choose(search: Search, results: Sequence[Mapping[str, Any] | None]) -> Choice:
    """The candidate with the best validation accuracy; of equals, the first.

    Args:
        search: the candidates.
        results: what each candidate's run ended with; None = it failed.
    """
    tried = tuple(
        Tried(candidate.settings, (result or {}).get(CRITERION), candidate.task.key)
        for candidate, result in zip(search.candidates, results, strict=True)
    )
    measured = [(one.value, -number) for number, one in enumerate(tried) if one.value is not None]
    return Choice(search.entry, search.seed, tried, -max(measured)[1] if measured else None)
