"""Choosing between candidate settings by validation accuracy, without the test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdzoo.bench.plan import Entry, Search

CRITERION = "val/last"
"""Validation accuracy in percent at the last epoch, the epoch of the leaderboard's main column."""


@dataclass(frozen=True)
class Tried:
    """A finished candidate. ``value`` is :data:`CRITERION`; None if the run failed or has none.

    ``images`` is how many its student saw; None where the run does not say.
    """

    settings: Mapping[str, Any]
    value: float | None
    folder: str
    images: int | None = None


@dataclass(frozen=True)
class Choice:
    """The result of a search. ``chosen`` is the index of the best candidate; None if none has a value.

    ``trials`` is the suite's budget; None where it names the candidates.
    """

    entry: Entry
    seed: int
    tried: tuple[Tried, ...]
    chosen: int | None
    trials: int | None = None


def choose(search: Search, results: Sequence[Mapping[str, Any] | None]) -> Choice:
    """The candidate with the best validation accuracy; in a tie, the first.

    Args:
        search: the candidates.
        results: the result of each candidate's run; None if it failed.
    """
    tried = tuple(
        Tried(
            candidate.settings,
            (result or {}).get(CRITERION),
            candidate.task.key,
            (result or {}).get("work/student_images"),
        )
        for candidate, result in zip(search.candidates, results, strict=True)
    )
    measured = [(one.value, -number) for number, one in enumerate(tried) if one.value is not None]
    chosen = -max(measured)[1] if measured else None
    return Choice(search.entry, search.seed, tried, chosen, search.budget)
