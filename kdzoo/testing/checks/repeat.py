"""Is a run reproducible, also after an interruption?"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kdzoo.testing.check import Wrong, check
from kdzoo.testing.diary import ALWAYS, Diary, diary, second_run
from kdzoo.testing.subject import Subject
from kdzoo.testing.watch import Watched, watch


@check(
    "seed",
    "knowledge",
    "scheme",
    "algorithm",
    looks_for="results that differ under the same seed",
    mend="Draw every random number from run.generator(name).",
)
def differs_from_itself(subject: Subject) -> Iterator[Wrong]:
    """Two runs of one recipe."""
    again = second_run(subject).done
    if any(_other(diary(subject), again, "")):
        again = watch(subject, changes=ALWAYS)  # for an observed operation torch may have another kernel
    yield from _other(diary(subject), again, "two runs of one recipe end with different")


@check(
    "resume",
    "knowledge",
    "scheme",
    "algorithm",
    looks_for="a resumed run that ends differently",
    mend="Keep what outlives a step in buffers, run.state or run.generator(name).",
)
def differs_after_an_interruption(subject: Subject) -> Iterator[Wrong]:
    """Compares a run that is interrupted twice and resumed with an uninterrupted one."""
    whole = diary(subject)
    stops = interruptions(whole.steps)
    with tempfile.TemporaryDirectory(prefix="kdzoo-check-") as place:
        again = watch(subject, stops=stops, folder=Path(place) / "run", changes=ALWAYS)
    after = " and ".join(f"after step {stop}" for stop in stops)
    yield from _other(whole, again, f"interrupted {after} and resumed, it ends with other")


def interruptions(steps: int) -> tuple[int, ...]:
    """Numbers of steps after which to interrupt: one within an epoch, and before it one with no common divisor.

    State that is missing at a multiple of some number only, such as accumulated gradients, is missing at one of them.
    """
    later = 3 * steps // 4 + 1  # within an epoch: its start may hide missing state
    coprime = [one for one in range(2, later) if math.gcd(one, later) == 1]
    earlier = min(coprime, key=lambda one: abs(2 * one - later), default=None)
    return (later,) if earlier is None else (earlier, later)


def _other(first: Diary, second: Watched, what: str) -> Iterator[Wrong]:
    """The differences of the second run's end."""
    for role in first.weights:
        if second.weights.get(role) != first.weights[role]:
            yield f"{what} weights", f"role {role}"
    for name, figure in first.figures.items():
        if repr(second.figures.get(name)) != repr(figure):  # NaN equals NaN
            yield f"{what} figures: {second.figures.get(name)} instead of {figure}", f"figure {name}"
