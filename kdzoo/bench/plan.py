"""What is to be run for a suite: entries, their runs, the searches for settings, the teachers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kdzoo.bench.task import Task


@dataclass(frozen=True)
class Entry:
    """A line of the leaderboard: a method with its settings, for one pair.

    Attributes:
        name: the method's name, or ``METHOD (tuned)``.
        method: the method's name in the registry.
        pair: ``teacher>student``.
    """

    name: str
    method: str
    pair: str


@dataclass(frozen=True)
class Run:
    """One seed of an entry. Two entries with the same recipe share the task."""

    entry: Entry
    seed: int
    task: Task


@dataclass(frozen=True)
class Candidate:
    """Settings to try, and the task that tries them."""

    settings: Mapping[str, Any]
    task: Task


@dataclass(frozen=True)
class Search:
    """Candidates for one entry, compared by validation accuracy.

    Attributes:
        entry: the entry that the best candidate becomes.
        seed: of every candidate's run.
        candidates: those that are known.
        budget: how many there will be, for every entry of the suite; None where the suite names them.
        propose: the next candidates from the values of all before.
        kept: further dotted keys of the runs that the best candidate gets.
    """

    entry: Entry
    seed: int
    candidates: tuple[Candidate, ...]
    budget: int | None = None
    propose: Callable[[Sequence[float | None]], tuple[Candidate, ...]] = lambda values: ()
    kept: Mapping[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """How many candidates are not known yet."""
        return max(0, (self.budget or 0) - len(self.candidates))

    def further(self, values: Sequence[float | None]) -> tuple[Candidate, ...]:
        """The candidates that follow, once each known one has a value in percent, or None if it failed."""
        return self.propose(values) if self.missing else ()


@dataclass(frozen=True)
class Plan:
    """The tasks of a suite.

    Attributes:
        runs: all seeds of all entries with known settings, seed by seed.
        searches: the searches that determine the settings of the other runs.
        teachers: key -> the task that trains a teacher needed by other tasks; those of later candidates join it.
        refused: entry name -> why its recipe is not possible.
    """

    runs: tuple[Run, ...]
    searches: tuple[Search, ...]
    teachers: Mapping[str, Task]
    refused: Mapping[Entry, str]

    @property
    def tasks(self) -> list[Task]:
        """The tasks of all known runs and candidates."""
        tried = [candidate.task for search in self.searches for candidate in search.candidates]
        return [*tried, *(run.task for run in self.runs)]
