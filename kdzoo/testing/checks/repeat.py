"""Is a run reproducible, also after an interruption?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from kdzoo.testing.check import Wrong, check
from kdzoo.testing.diary import ALWAYS, Diary, diary
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
    again = watch(subject, changes=ALWAYS)
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
    """Compares a run that is interrupted within an epoch and resumed with an uninterrupted one."""
    whole = diary(subject)
    with tempfile.TemporaryDirectory(prefix="kdzoo-check-") as place:
        stop_after = 3 * whole.steps // 4 + 1  # within an epoch: its start may hide missing state
        again = watch(subject, stop_after=stop_after, folder=Path(place) / "run", changes=ALWAYS)
    yield from _other(whole, again, f"interrupted after step {stop_after} and resumed, it ends with other")


def _other(first: Diary, second: Watched, what: str) -> Iterator[Wrong]:
    """The differences of the second run's end."""
    for role in first.weights:
        if second.weights.get(role) != first.weights[role]:
            yield f"{what} weights", f"role {role}"
    for name, figure in first.figures.items():
        if repr(second.figures.get(name)) != repr(figure):  # NaN equals NaN
            yield f"{what} figures: {second.figures.get(name)} instead of {figure}", f"figure {name}"
