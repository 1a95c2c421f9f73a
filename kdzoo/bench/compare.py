"""Comparisons between methods, and with published figures: tests, correction for many methods, groups, power.

All tests are two-sided. Within a pair of networks they are those of a table of entries and seeds, each with a mean of
its own: what seeds have in common is taken out, and the deviation that is left is pooled over all entries, since
three seeds alone say little of it. Over pairs they are t tests on one difference for each pair. Those against a
published mean keep the seeds' variation, since its runs are not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

import numpy as np

LEVEL = 0.05
"""Significance level of every statement."""

POWER = 0.8
"""Probability with which a difference that is there is seen."""

_MOST_SEEDS = 1000

_EXACT = 1e-9
"""Points below which a difference is one of rounding."""

Accuracies = Mapping[str, Mapping[int, float]]
"""Entry -> seed -> accuracy in percent."""

Verdict = Literal["within", "above", "below", "one run"]


@dataclass(frozen=True)
class Reproduction:
    """How runs compare with a published mean.

    Attributes:
        difference: mean of the runs minus the published accuracy, in points.
        half_width: half of the 95% interval of the difference; None for one run.
        p: p value of no difference; None for one run.
        verdict: whether the interval includes 0, or on which side of it it lies.
    """

    difference: float
    half_width: float | None
    p: float | None
    verdict: Verdict


def reproduction(values: Sequence[float], published: float, runs: int | None) -> Reproduction:
    """Compare accuracies with the published mean of ``runs`` runs.

    The published runs are taken to vary as much as these, since their deviation is seldom stated: standard error
    s sqrt(1/n + 1/runs), t with n - 1 degrees of freedom. ``runs`` None is taken as one, which is the most cautious.
    """
    difference = fmean(values) - published
    n = len(values)
    if n < 2:
        return Reproduction(difference, None, None, "one run")
    error = stdev(values) * math.sqrt(1 / n + 1 / (runs or 1))
    half_width = _quantile(n - 1) * error
    inside = abs(difference) <= half_width
    verdict: Verdict = "within" if inside else "above" if difference > 0 else "below"
    return Reproduction(difference, half_width, _p(difference, error, n - 1), verdict)


def paired_p(differences: Sequence[float]) -> float | None:
    """P value of the paired t test that the mean difference is 0; None for fewer than two."""
    n = len(differences)
    return None if n < 2 else _p(fmean(differences), stdev(differences) / math.sqrt(n), n - 1)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P values adjusted by Holm's method: rejecting those of at most a errs anywhere with probability at most a."""
    adjusted: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda one: p_values[one])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = highest
    return adjusted


@dataclass(frozen=True)
class Residual:
    """How entries vary from seed to seed beyond what all have in common.

    Attributes:
        deviation: in points, the same for all entries.
        freedom: its degrees of freedom.
    """

    deviation: float
    freedom: int

    def error(self, seeds: int) -> float:
        """Standard error of a difference that is paired over ``seeds``."""
        return self.deviation * math.sqrt(2 / seeds)


def residual(accuracies: Accuracies) -> Residual | None:
    """What is left of accuracies when each entry and each seed has its own mean, by least squares.

    None where nothing is left to measure it by: one entry, or one seed.
    """
    cells = [(entry, seed, value) for entry, one in accuracies.items() for seed, value in one.items()]
    columns: dict[tuple[str, object], int] = {}
    for entry, seed, _ in cells:
        columns.setdefault(("entry", entry), len(columns))
        columns.setdefault(("seed", seed), len(columns))
    design = np.zeros((len(cells), len(columns)))
    for row, (entry, seed, _) in enumerate(cells):
        design[row, [columns["entry", entry], columns["seed", seed]]] = 1
    values = np.array([value for _, _, value in cells])
    fitted, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    freedom = len(cells) - int(rank)
    if freedom < 1:
        return None
    squares = float(np.sum((values - design @ fitted) ** 2))
    deviation = math.sqrt(squares / freedom)
    return Residual(deviation if deviation > _EXACT else 0.0, freedom)


def pooled_p(differences: Sequence[float], spread: Residual | None) -> float | None:
    """P value of no difference over common seeds, with the pooled deviation; None for fewer than two seeds."""
    n = len(differences)
    if n < 2 or spread is None:
        return None
    return _p(fmean(differences), spread.error(n), spread.freedom)


def groups(accuracies: Accuracies) -> tuple[tuple[str, ...], ...]:
    """Entries that cannot be told apart: the largest sets, neighbours by mean, in which no two differ.

    Two entries differ if Tukey's test over their common seeds says so at the level: it allows for all pairs.
    Entries with fewer than two common seeds are never told apart.

    Args:
        accuracies: entry -> seed -> accuracy.
    """
    ordered = sorted(accuracies, key=lambda name: -fmean(accuracies[name].values()))
    spread = residual(accuracies)
    critical = math.inf if spread is None else _tukey(len(ordered), spread.freedom)

    def differ(one: str, other: str) -> bool:
        common = accuracies[one].keys() & accuracies[other].keys()
        if len(common) < 2 or spread is None:
            return False
        gap = abs(fmean(accuracies[one][seed] - accuracies[other][seed] for seed in common))
        return gap > max(critical * spread.error(len(common)), _EXACT)

    found: list[tuple[str, ...]] = []
    for first in range(len(ordered)):
        end = first + 1
        while end < len(ordered) and not any(differ(one, ordered[end]) for one in ordered[first:end]):
            end += 1
        group = tuple(ordered[first:end])
        if not found or not set(group) <= set(found[-1]):
            found.append(group)
    return tuple(found)


def seeds_needed(points: float, deviation: float) -> int | None:
    """Fewest seeds with which a paired t test sees ``points`` with probability 0.8; None for more than a thousand."""
    from scipy.special import nctdtr, stdtrit  # type: ignore[import-untyped]  # scipy has no types

    if deviation == 0:
        return 2
    for n in range(2, _MOST_SEEDS + 1):
        shift = min(points / deviation * math.sqrt(n), 35.0)  # the distribution is computed up to about here
        if 1 - nctdtr(n - 1, shift, stdtrit(n - 1, 1 - LEVEL / 2)) >= POWER:
            return n
    return None


def mean_ranks(boards: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean rank of each entry that is on every board, 1 = best; equal accuracies share the mean of their ranks.

    Args:
        boards: for each pair of networks, entry -> mean accuracy.
    """
    common = set.intersection(*(set(board) for board in boards)) if boards else set()
    ranks: dict[str, list[float]] = {name: [] for name in common}
    for board in boards:
        for name in common:
            above = sum(board[other] > board[name] for other in common)
            equal = sum(board[other] == board[name] for other in common)
            ranks[name].append(above + (equal + 1) / 2)
    return {name: fmean(one) for name, one in sorted(ranks.items(), key=lambda item: fmean(item[1]))}


def _p(difference: float, error: float, freedom: int) -> float:
    from scipy.special import stdtr

    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * stdtr(freedom, -abs(difference) / error))


def _quantile(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - LEVEL / 2))


def _tukey(entries: int, freedom: int) -> float:
    """The largest difference of so many means, in its standard errors, that chance exceeds at the level."""
    from scipy.stats import studentized_range  # type: ignore[import-untyped]  # and a second to import

    return float(studentized_range.ppf(1 - LEVEL, max(entries, 2), freedom)) / math.sqrt(2)
