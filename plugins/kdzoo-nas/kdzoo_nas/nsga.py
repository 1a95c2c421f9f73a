"""Search with Optuna's NSGA-II, for the Pareto front of score and cost."""

from __future__ import annotations

from typing import Any

from kdzoo.api import KdzooError
from kdzoo_nas.evolution import Allows, Score
from kdzoo_nas.space import Architecture, Space, Stage


def nsga2(
    space: Space,
    score: Score,
    cost: Score,
    allows: Allows,
    seed: int,
    *,
    population: int,
    generations: int,
) -> dict[Architecture, float]:
    """As :func:`kdzoo_nas.evolution.evolve`, but selects for a high score and a low cost jointly.

    Candidates outside the budget violate a constraint of NSGA-II and are not scored.

    Args:
        space: the search space.
        score: higher is better.
        cost: lower is better.
        allows: whether a candidate is within the budget; the smallest one must be.
        seed: seed of the sampler.
        population: population size of the sampler.
        generations: number of populations; repeated candidates are not scored again.

    Raises:
        KdzooError: Optuna is not installed.

    """
    optuna = require_optuna()
    known: dict[Architecture, float] = {}

    def objective(trial: Any) -> tuple[float, float]:
        candidate: Architecture = tuple(
            Stage(
                *(
                    trial.suggest_categorical(f"{number}/{name}", field)
                    for name, field in zip(Stage._fields, options.fields, strict=True)
                )
            )
            for number, options in enumerate(space.stages)
        )
        allowed = allows(candidate)
        trial.set_constraint("budget", -1.0 if allowed else 1.0)
        if not allowed:
            return float("-inf"), float(cost(candidate))
        if candidate not in known:
            known[candidate] = score(candidate)
        return known[candidate], float(cost(candidate))

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        sampler = optuna.samplers.NSGAIISampler(population_size=max(2, population), seed=seed)
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        study.optimize(objective, n_trials=population * generations)
    finally:
        optuna.logging.set_verbosity(verbosity)
    if not known:
        known[space.smallest] = score(space.smallest)
    return known


def require_optuna() -> Any:
    """Import Optuna.

    Raises:
        KdzooError: it is not installed.

    """
    try:
        import optuna
    except ImportError:
        raise KdzooError(
            "algorithm.sampler 'nsga2' needs Optuna: pip install 'kdzoo-nas[optuna]', or take 'evolution'"
        ) from None
    return optuna
