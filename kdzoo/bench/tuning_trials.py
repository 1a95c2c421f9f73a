"""The settings of a search's trials: Optuna's, as a function of the values of the trials before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kdzoo.bench.tuning_space import Dimension
from kdzoo.errors import KdzooError
from kdzoo.registry.tuning import Budget


def proposed(
    space: Sequence[Dimension], budget: Budget, values: Sequence[float | None], seed: int
) -> list[dict[str, float]]:
    """The next settings to try; empty when the budget is spent.

    They are proposed ``budget.at_once`` at a time, from all values of the batches before and nothing else: neither
    the number of workers nor an interruption changes a trial. The first trial is the method's own settings. A third
    of the trials, and the first batch at least, are drawn at random; then follows the tree-structured Parzen
    estimator (Bergstra et al. 2011).

    Args:
        space: what is searched.
        budget: of the search.
        values: validation accuracy of each trial so far; None if it failed. Whole batches.
        seed: of the sampler.

    Raises:
        KdzooError: Optuna is not installed.
    """
    optuna = require_optuna()
    kinds = optuna.distributions
    ranges = {
        one.key: (kinds.IntDistribution if one.whole else kinds.FloatDistribution)(
            one.low, one.high, log=one.log
        )
        for one in space
    }
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        random = max(budget.at_once, budget.trials // 3)
        sampler = optuna.samplers.TPESampler(seed=seed % 2**32, n_startup_trials=random)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.enqueue_trial({one.key: one.own for one in space})
        for begin in range(0, budget.trials, budget.at_once):
            trials = [study.ask(ranges) for _ in range(min(budget.at_once, budget.trials - begin))]
            known = values[begin : begin + len(trials)]
            if not known:
                return [{one.key: one.rounded(trial.params[one.key]) for one in space} for trial in trials]
            for trial, value in zip(trials, known, strict=True):
                failed = optuna.trial.TrialState.FAIL if value is None else None
                study.tell(trial, value, state=failed)
        return []
    finally:
        optuna.logging.set_verbosity(verbosity)


def require_optuna() -> Any:
    """Optuna, which is imported only here.

    Raises:
        KdzooError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise KdzooError("tune: {trials: N} needs Optuna: pip install 'kdzoo[tune]'") from None
    return optuna
