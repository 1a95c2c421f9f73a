"""Learning curves, read from the ``metrics.jsonl`` of the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from kdzoo.bench.recorded import Recorded

VALIDATION = "val/accuracy"

Series = Mapping[int, float]
"""Epoch, from 1 -> value."""


@dataclass(frozen=True)
class Band:
    """A metric over several runs: mean, lowest and highest value at each epoch that all runs have."""

    epochs: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def series(run: Recorded) -> dict[str, dict[int, float]]:
    """Every metric of a run: name -> epoch -> value. Empty before the first epoch has ended."""
    found: dict[str, dict[int, float]] = {}
    for row in run.epochs:
        for name, value in row.figures.items():
            found.setdefault(name, {})[row.epoch] = value
    return found


def band(runs: Sequence[Series]) -> Band | None:
    """Summarise runs; None if they have no epoch in common."""
    common = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
    if not common:
        return None
    columns = [[run[epoch] for run in runs] for epoch in common]
    return Band(
        tuple(common),
        mean=tuple(map(fmean, columns)),
        low=tuple(map(min, columns)),
        high=tuple(map(max, columns)),
    )
