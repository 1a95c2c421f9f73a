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
    pooled_p,
    residual,
    seeds_needed,
)
from kdzoo.bench.leaderboard import Estimate, estimate, references
from kdzoo.bench.results import PairResults, SuiteResults
from kdzoo.bench.words import number, several
from kdzoo.registry.published import Terms

POINTS = 0.3
"""The difference in points that many papers claim."""

_NAMED = 4
"""A longer group is named by its ends, which stand in the table."""


def about_differences(pair: PairResults) -> list[str]:
    """The tests of one pair's leaderboard; empty with one entry, or with one seed."""
    spread = residual(pair.accuracies)
    differences = _differences(pair)
    p_values = {entry: p for entry, one in differences.items() if (p := pooled_p(one, spread)) is not None}
    if not p_values or spread is None:
        return []
    adjusted = holm(p_values)
    told = list(_told(pair, adjusted))
    sentences = [
        "Tests over seeds, with the deviation pooled over all entries, which are taken to vary alike; corrected for "
        f"{several(len(adjusted), 'comparison')} by Holm's method, at the 5% level: "
        + (f"{'; '.join(told)}." if told else "none differs.")
    ]
    together = groups(pair.accuracies)
    if len(together) == 1:
        sentences.append("No two entries can be told apart (Tukey's test).")
    else:
        listed = "; ".join(map(_group, together))
        sentences.append(
            "Groups whose entries cannot be told apart from each other (Tukey's test), in the order of the table: "
            f"{listed}."
        )
    deviation = spread.error(1)
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


def _told(pair: PairResults, p_values: Mapping[str, float]) -> Iterator[str]:
    """Which entries are above, and which below, what they are compared with."""
    for against in references(pair.rows):
        for word, sign in (("above", 1), ("below", -1)):
            found = [
                f"{row.entry} (p {_p(p_values[row.entry])})"
                for row in pair.rows
                if row.against == against
                and row.difference is not None
                and row.difference.mean * sign > 0
                and p_values.get(row.entry, 1.0) <= LEVEL
            ]
            if found:
                yield f"{', '.join(found)} {'is' if len(found) == 1 else 'are'} {word} {against}"


def _group(names: Sequence[str]) -> str:
    """Every name, or the ends of a long list."""
    return ", ".join(names) if len(names) <= _NAMED else f"{names[0]} to {names[-1]} ({len(names)})"


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
    ranks = mean_ranks(boards)
    means: dict[str, list[float]] = {}
    for pair in results.pairs:
        for entry, one in _differences(pair).items():
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


def _differences(pair: PairResults) -> dict[str, list[float]]:
    """Entry -> differences over the common seeds to the entry that it is compared with."""
    found = {}
    for row in pair.rows:
        values = pair.accuracies.get(row.entry, {})
        others = pair.accuracies.get(row.against, {}) if row.against is not None else {}
        common = sorted(values.keys() & others.keys())
        if common:
            found[row.entry] = [values[seed] - others[seed] for seed in common]
    return found


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
