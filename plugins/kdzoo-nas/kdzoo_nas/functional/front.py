"""The Pareto front of cost and score."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Positions of the non-dominated candidates, cheapest first.

    Args:
        costs: lower is better.
        scores: higher is better.

    Returns:
        Positions; of equal candidates, the first.

    Raises:
        ValueError: lengths that differ.

    """
    if len(costs) != len(scores):
        raise ValueError(f"{len(costs)} costs and {len(scores)} scores")
    front: list[int] = []
    for one in sorted(range(len(costs)), key=lambda one: (costs[one], -scores[one], one)):
        if not front or scores[one] > scores[front[-1]]:
            front.append(one)
    return front
