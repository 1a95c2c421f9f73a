"""Architectures in order of increasing error, where errors and sizes of stages are additive."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kdzoo_nas.space import Architecture, Stage

Pair = tuple[int, Stage]
"""The width before a stage (0 before the first), and the stage."""


class Choice(NamedTuple):
    """Error and size of one choice.

    Attributes:
        error: ≥ 0.
        size: parameters.

    """

    error: float
    size: int


def paths(layers: Sequence[Mapping[Pair, Choice]], most: float | None = None) -> Iterator[Architecture]:
    """All architectures within a budget, in order of increasing sum of errors.

    Exact best-first search: it extends the prefix with the smallest lower bound, the sum of its errors and of
    the smallest possible errors of the rest; prefixes that cannot stay within the budget are dropped.

    Args:
        layers: for each stage, shallow to deep, error and size of each choice after each preceding width.
        most: largest number of parameters; None is no bound.

    """
    least = [{} for _ in layers] + [None]  # type: list[dict[int, Choice] | None]
    for number in reversed(range(len(layers))):
        after = least[number + 1]
        onward = least[number]
        assert onward is not None
        for (width, stage), choice in layers[number].items():
            rest = Choice(0.0, 0) if after is None else after[stage.width]
            known = onward.get(width, Choice(float("inf"), 2**63))
            # Lower bounds of error and size of the rest; no single continuation need reach both.
            onward[width] = Choice(
                min(known.error, choice.error + rest.error), min(known.size, choice.size + rest.size)
            )
    heap: list[tuple[float, Architecture, float, int]] = [(0.0, (), 0.0, 0)]
    while heap:
        _, path, error, size = heapq.heappop(heap)
        if len(path) == len(layers):
            yield path
            continue
        after = least[len(path) + 1]
        width = path[-1].width if path else 0
        for (before, stage), choice in layers[len(path)].items():
            if before != width:
                continue
            rest = Choice(0.0, 0) if after is None else after[stage.width]
            if most is None or size + choice.size + rest.size <= most:
                so_far = error + choice.error
                heapq.heappush(heap, (so_far + rest.error, (*path, stage), so_far, size + choice.size))


def pairs(architecture: Architecture) -> list[Pair]:
    """Each stage with the preceding width."""
    return list(zip((0, *(stage.width for stage in architecture)), architecture, strict=False))
