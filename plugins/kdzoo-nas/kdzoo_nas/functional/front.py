"""What no other candidate beats in both cost and score."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """The positions of the candidates that are cheaper or better than each other one, cheapest first.

    Args:
        costs: less is better.
        scores: more is better.

    Returns:
        Positions; of equals the first.

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
