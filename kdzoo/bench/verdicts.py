"""What a reviewer asks of a leaderboard, in sentences: corrected tests, groups, power, published accuracies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from kdzoo.bench.compare import (
    LEVEL,
    Reproduction,
    groups,
    holm,
    mean_ranks,
    paired_p,
    pooled_deviation,
    seeds_needed,
)
from kdzoo.bench.leaderboard import Estimate, estimate
from kdzoo.bench.results import PairResults, SuiteResults
from kdzoo.bench.words import number, several
from kdzoo.registry.published import Terms

POINTS = 0.3
"""The difference in points that many papers claim."""


def about_differences(pair: PairResults, baseline: str) -> list[str]:
    """The tests of one pair's leaderboard; empty with one entry, or with one seed."""
    differences = _differences(pair, baseline)
    p_values = {entry: p for entry, one in differences.items() if (p := paired_p(one)) is not None}
    if not p_values:
        return []
    adjusted = holm(p_values)
    differ = [f"{entry} (p {_p(p)})" for entry, p in adjusted.items() if p <= LEVEL]
    said = f"differs from {baseline}" if len(differ) == 1 else f"differ from {baseline}"
    sentences = [
        f"Paired t tests over seeds, corrected for {several(len(adjusted), 'comparison')} by Holm's method: "
        + (f"{', '.join(differ)} {said} at the 5% level." if differ else "none differs at the 5% level.")
    ]
    together = groups(pair.accuracies)
    if len(together) == 1:
        sentences.append("No two entries can be told apart.")
    else:
        listed = "; ".join(", ".join(group) for group in together)
        sentences.append(f"Groups whose entries cannot be told apart from each other: {listed}.")
    deviation = pooled_deviation(list(differences.values()))
    if deviation is not None:
        needed = seeds_needed(POINTS, deviation)
        count = "more than 1000 seeds" if needed is None else several(needed, "seed")
        sentences.append(
            f"The paired differences deviate by {number(deviation)} points from seed to seed; with that it takes "
            f"{count} to see a difference of {POINTS} points with a probability of 80%."
        )
    if pair.inflation:
        worst = max(pair.inflation, key=lambda entry: pair.inflation[entry])
        sentences.append(
            "Reporting the best epoch of the evaluated split instead of the last would add "
            f"{number(fmean(pair.inflation.values()))} points on average and {number(pair.inflation[worst])} for "
            f"{worst}, measured on the validation split, since the test split is read once."
        )
    return sentences


def about_published(pair: PairResults, changed: Sequence[str]) -> list[str]:
    """Each entry's verdict against its published accuracy."""
    if not pair.published:
        return []
    if changed:
        keys = f"{', '.join(changed[:4])}{' and more' if len(changed) > 4 else ''}"
        return [
            f"Published accuracies are shown and not compared: the command changes the protocol ({keys})."
        ]
    means = {row.entry: row.last for row in pair.rows}
    return [
        f"{entry}: {verdict(means[entry], figure.value, figure, pair.reproduced[entry])}"
        for entry, figure in pair.published.items()
    ]


def verdict(ours: Estimate, value: float, terms: Terms, found: Reproduction) -> str:
    """One sentence: within, above or below the published accuracy, by how much, at which confidence."""
    published = f"the published {number(value)} % ({terms.of}; {terms.source})"
    own = f"{number(ours.mean)} % at the last epoch, {several(ours.n, 'seed')}"
    if found.verdict == "one run" or found.half_width is None or found.p is None:
        said = (
            f"{own}, is {number(found.difference, signed=True)} from {published}; one run gives no confidence"
        )
    else:
        interval = f"{number(found.difference, signed=True)} ± {number(found.half_width)}"
        if found.verdict == "within":
            said = f"{own}, is within {published}: the 95% interval of the difference, {interval}, includes 0"
        else:
            sure = "more than 99.9%" if found.p < 0.001 else f"{100 * (1 - found.p):.1f}%"
            said = f"{own}, is {found.verdict} {published} by {interval}, at a confidence of {sure}"
    notes = [] if terms.statistic == "last" else ["the published epoch may be chosen on the test split"]
    notes += [f"differs: {terms.differences}"] if terms.differences else []
    return f"{said} ({'; '.join(notes)})." if notes else f"{said}."


@dataclass(frozen=True)
class OverPairs:
    """An entry over all pairs of networks.

    Attributes:
        entry: its name.
        rank: mean rank, 1 = best.
        difference: to the baseline, mean over pairs of the means over seeds, with an interval over pairs.
        p: adjusted p value of no difference; None for the baseline.
    """

    entry: str
    rank: float
    difference: Estimate | None
    p: float | None


def over_pairs(results: SuiteResults) -> list[OverPairs]:
    """The entries that every pair has, best mean rank first; empty for one pair."""
    boards = [{row.entry: row.last.mean for row in pair.rows} for pair in results.pairs if pair.rows]
    if len(boards) < 2:
        return []
    baseline = results.ledger.baseline
    ranks = mean_ranks(boards)
    means: dict[str, list[float]] = {}
    for pair in results.pairs:
        for entry, one in _differences(pair, baseline).items():
            means.setdefault(entry, []).append(fmean(one))
    p_values = {entry: p for entry in ranks if (p := paired_p(means.get(entry, ()))) is not None}
    adjusted = holm(p_values)
    return [
        OverPairs(entry, rank, estimate(means[entry]) if means.get(entry) else None, adjusted.get(entry))
        for entry, rank in ranks.items()
    ]


def pair_rows(rows: Sequence[OverPairs]) -> Iterator[tuple[str, ...]]:
    """The cells of the table over pairs: entry, mean rank, difference, p."""
    for row in rows:
        mean = "" if row.difference is None else number(row.difference.mean, signed=True)
        spread = row.difference.half_width if row.difference is not None else None
        width = "" if spread is None else f" ± {number(spread)}"
        yield row.entry, number(row.rank), mean + width, "" if row.p is None else _p(row.p)


def _differences(pair: PairResults, baseline: str) -> dict[str, list[float]]:
    """Entry -> differences to the baseline over the common seeds."""
    reference: Mapping[int, float] = pair.accuracies.get(baseline, {})
    return {
        entry: found
        for entry, values in pair.accuracies.items()
        if entry != baseline
        and (found := [values[seed] - reference[seed] for seed in sorted(values.keys() & reference.keys())])
    }


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
