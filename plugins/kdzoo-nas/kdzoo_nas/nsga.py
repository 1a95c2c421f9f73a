"""Candidates proposed by Optuna's NSGA-II: the front of two objectives, not only the best within a budget."""

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
    """As :func:`kdzoo_nas.evolution.evolve`, but the selection is for score and low cost at once.

    Candidates out of the budget are constrained away, as NSGA-II's constrained domination has it, and not scored.

    Args:
        space: of the architectures.
        score: more is better.
        cost: less is better.
        allows: whether a candidate is within the budget; the smallest of the space is.
        seed: of the sampler.
        population: of the sampler.
        generations: populations that are proposed; what was proposed before is not scored again.

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
    """The package.

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
