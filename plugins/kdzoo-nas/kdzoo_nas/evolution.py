"""Regular selection, crossover and mutation under a budget."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from kdzoo_nas.space import Architecture, Space

Score = Callable[[Architecture], float]
Allows = Callable[[Architecture], bool]

_TRIES = 200
"""Largest number of draws for one new admissible candidate."""


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
    """Evolutionary search; returns candidates with their scores.

    The first generation is random. The best candidates so far, a quarter of a population, are parents: half
    of the next generation are mutations of one parent, half are crossovers of two. No candidate is scored
    twice. With one generation this is random search.

    Args:
        space: the search space.
        score: higher is better.
        allows: whether a candidate is within the budget; the smallest one must be.
        chance: the random generator.
        population: new candidates per generation.
        generations: number of generations.
        rate: mutation probability of each choice.

    Returns:
        All scored candidates, in order; at least one.

    """
    known: dict[Architecture, float] = {}

    def admit(propose: Callable[[], Architecture]) -> None:
        for _ in range(_TRIES):
            candidate = propose()
            if candidate not in known and allows(candidate):
                known[candidate] = score(candidate)
                return
        if propose is not fresh:  # all children of these parents have been scored
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
    """By decreasing score; ties in the order of scoring."""
    return sorted(known, key=lambda one: -known[one])
