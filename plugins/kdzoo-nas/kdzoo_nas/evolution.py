"""Regular selection, crossover and mutation under a budget."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from kdzoo_nas.space import Architecture, Space

Score = Callable[[Architecture], float]
Allows = Callable[[Architecture], bool]

_TRIES = 200
"""Draws for one admissible candidate, before those that are known must do."""


def evolve(
    space: Space,
    score: Score,
    allows: Allows,
    chance: random.Random,
    *,
    population: int,
    generations: int,
    rate: float = 0.2,
) -> dict[Architecture, float]:
    """Candidates with their scores, the best of which is what is looked for.

    The first generation is drawn. Of all that are known the better quarter of a population are parents: half of the
    next generation are children of one, with mutations, half of two. No candidate is scored twice. With one
    generation this is random search.

    Args:
        space: of the architectures.
        score: more is better.
        allows: whether a candidate is within the budget; the smallest of the space is.
        chance: what is drawn from.
        population: new candidates in each generation.
        generations: how many.
        rate: probability that a choice is drawn again in a mutation.

    Returns:
        Every candidate that was scored, in that order; at least one.

    """
    known: dict[Architecture, float] = {}

    def admit(propose: Callable[[], Architecture]) -> None:
        for _ in range(_TRIES):
            candidate = propose()
            if candidate not in known and allows(candidate):
                known[candidate] = score(candidate)
                return
        if propose is not fresh:  # the parents' children are all known
            admit(fresh)

    def fresh() -> Architecture:
        return space.draw(chance)

    for generation in range(generations):
        parents: Sequence[Architecture] = best(known)[: max(2, population // 4)]
        for number in range(population):
            if generation == 0 or not parents:
                admit(fresh)
            elif number % 2:
                admit(lambda: space.mutate(chance.choice(parents), chance, rate))  # noqa: B023  # called at once
            else:
                admit(lambda: space.cross(chance.choice(parents), chance.choice(parents), chance))  # noqa: B023
    if not known:
        known[space.smallest] = score(space.smallest)
    return known


def best(known: dict[Architecture, float]) -> list[Architecture]:
    """By falling score; of equals the first that was scored comes first."""
    return sorted(known, key=lambda one: -known[one])
