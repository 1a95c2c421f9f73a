"""Is distillation worth it on these pictures? In words and numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from kdzoo.bench.compare import LEVEL, holm, paired_p, seeds_needed
from kdzoo.bench.leaderboard import Estimate, estimate
from kdzoo.bench.words import number, several

Worth = Literal["yes", "no", "cannot tell"]

_FEW = 200
"""Test pictures; with fewer little can be said."""

LEAST = 3
"""Seeds; an interval of two follows from a single deviation, which may happen to be 0."""

_Z = 1.959964
"""Of a 95% interval."""


@dataclass(frozen=True)
class Comparison:
    """The winner and a control.

    Attributes:
        control: its name.
        difference: in points, paired by seed.
        p: of no difference, corrected for all comparisons by Holm's method; None with fewer than three seeds.
    """

    control: str
    difference: Estimate
    p: float | None

    def __str__(self) -> str:
        gap = self.difference
        width = "" if gap.half_width is None else f" ± {number(gap.half_width)}"
        p = "" if self.p is None else f", p {'< 0.001' if self.p < 0.001 else f'= {self.p:.3f}'}"
        return f"{number(gap.mean, signed=True)}{width} points against {self.control}{p}"


@dataclass(frozen=True)
class Verdict:
    """The answer, and the comparisons that it follows from."""

    worth: Worth
    winner: str
    comparisons: tuple[Comparison, ...]
    needed: int | None = None

    def lines(self) -> Iterator[str]:
        """The answer in sentences."""
        if not self.comparisons:
            yield f"Cannot tell: {self.winner} has nothing to be compared with, for the controls failed."
            return
        best = min(self.comparisons, key=lambda one: one.difference.mean)
        seeds = best.difference.n
        listed = "; ".join(map(str, self.comparisons))
        if self.worth == "yes":
            yield f"Worth it: {self.winner} is above every control by more than chance explains: {listed}."
        elif self.worth == "no":
            yield f"Not worth it here: {best.control} is as good as {self.winner} or better: {listed}."
            if best.difference.high > 0:
                gain = number(best.difference.high)
                yield f"With {several(seeds, 'seed')} a gain of up to {gain} points cannot be excluded."
        else:
            why = (
                f"{several(seeds, 'seed')} cannot tell a difference from chance"
                if seeds < LEAST
                else f"{self.winner} has the highest mean, but with {several(seeds, 'seed')} the difference to "
                f"{best.control} can be chance"
            )
            yield f"Cannot tell: {why}: {listed}."
            if self.needed is not None:
                yield f"A difference of that size takes about {several(self.needed, 'seed')} to be seen."
        if seeds >= LEAST:
            yield (
                f"Differences are paired by seed, {several(seeds, 'seed')}; ± is half of the 95% interval, p is that "
                f"of a paired t test, corrected for {len(self.comparisons)} comparisons by Holm's method."
            )


def judge(accuracies: Mapping[str, Mapping[int, float]], winner: str) -> Verdict:
    """Compare the winner with all others.

    Args:
        accuracies: entry -> seed -> accuracy in percent on the test split.
        winner: the distilled entry.
    """
    own = accuracies[winner]
    gaps = {
        control: [own[seed] - found[seed] for seed in sorted(own.keys() & found.keys())]
        for control, found in accuracies.items()
        if control != winner
    }
    gaps = {control: found for control, found in gaps.items() if found}
    enough = {name: found for name, found in gaps.items() if len(found) >= LEAST}
    adjusted = holm({name: p for name, found in enough.items() if (p := paired_p(found)) is not None})
    compared = tuple(
        Comparison(
            name,
            estimate(found) if name in enough else Estimate(fmean(found), None, len(found)),
            adjusted.get(name),
        )
        for name, found in gaps.items()
    )
    told = len(enough) == len(gaps)
    if told and any(one.difference.mean <= 0 for one in compared):
        return Verdict("no", winner, compared)
    if compared and all(one.p is not None and one.p <= LEVEL for one in compared):
        return Verdict("yes", winner, compared)
    nearest = min(gaps.values(), key=fmean, default=[])
    needed = seeds_needed(fmean(nearest), stdev(nearest)) if len(nearest) >= LEAST else None
    return Verdict("cannot tell", winner, compared, needed)


def about_test(pictures: int, accuracy: float, *, cut: bool) -> Iterator[str]:
    """What the test pictures allow to say.

    Args:
        pictures: their number.
        accuracy: in percent, about which.
        cut: whether they were cut from the same folder.
    """
    share = min(max(accuracy / 100, 0.01), 0.99)
    half = 100 * _Z * math.sqrt(share * (1 - share) / pictures)
    said = f"An accuracy on {pictures:,} test pictures is known to ± {half:.1f} points (95 %)"
    yield f"{said}; the intervals over seeds do not include that."
    if pictures < _FEW:
        yield f"{pictures} test pictures are few: whatever is said here may change with other pictures."
    if cut:
        yield (
            "The folder has no test split; these pictures were set aside from the same folder, so they say nothing "
            "about pictures from elsewhere."
        )
