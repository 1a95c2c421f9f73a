"""Everything that a plugin imports from the core. Names that need torch are loaded when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kdzoo.api.hooks import hookimpl
from kdzoo.api.observer import (
    EpochEnded,
    Event,
    Job,
    Observer,
    PhaseStarted,
    Pictured,
    Preparing,
    RunEnded,
    RunFailed,
    RunStarted,
    RunStopped,
    StepsDone,
    Warned,
)
from kdzoo.errors import KdzooError

if TYPE_CHECKING:
    from kdzoo.api.algorithm import Algorithm, Phase
    from kdzoo.api.assembled import Assembled
    from kdzoo.api.batch import UNLABELLED, Batch, Output
    from kdzoo.api.divergence import softened_kl
    from kdzoo.api.knowledge import Knowledge
    from kdzoo.api.loss_knowledge import LossKnowledge
    from kdzoo.api.maps import pool_to_smaller
    from kdzoo.api.modes import evaluating
    from kdzoo.api.network import Backbone
    from kdzoo.api.noise import Noise
    from kdzoo.api.options import Reduction, choice, reduce
    from kdzoo.api.precision import at_least_float32, without_autocast
    from kdzoo.api.probe import Probe
    from kdzoo.api.ramp import Ramp
    from kdzoo.api.run import Data, Run
    from kdzoo.api.scheme import Lesson, Scheme
    from kdzoo.api.seeds import seeded
    from kdzoo.api.source import DataSource, Samples
    from kdzoo.api.taps import Taps
    from kdzoo.recipe.model import OptimConfig

_LAZY = {
    "Assembled": "assembled",
    "Backbone": "network",
    "Probe": "probe",
    "Reduction": "options",
    "at_least_float32": "precision",
    "choice": "options",
    "evaluating": "modes",
    "reduce": "options",
    "seeded": "seeds",
    "without_autocast": "precision",
    "pool_to_smaller": "maps",
    "softened_kl": "divergence",
    "Algorithm": "algorithm",
    "Phase": "algorithm",
    "UNLABELLED": "batch",
    "Batch": "batch",
    "Output": "batch",
    "Knowledge": "knowledge",
    "LossKnowledge": "loss_knowledge",
    "Noise": "noise",
    "Ramp": "ramp",
    "Data": "run",
    "Run": "run",
    "Lesson": "scheme",
    "Scheme": "scheme",
    "DataSource": "source",
    "Samples": "source",
    "Taps": "taps",
    "OptimConfig": "optim",
}

__all__ = [
    "UNLABELLED",
    "Algorithm",
    "Assembled",
    "Backbone",
    "Batch",
    "Data",
    "DataSource",
    "EpochEnded",
    "Event",
    "Job",
    "KdzooError",
    "Knowledge",
    "Lesson",
    "LossKnowledge",
    "Noise",
    "Observer",
    "OptimConfig",
    "Output",
    "Phase",
    "PhaseStarted",
    "Pictured",
    "Preparing",
    "Probe",
    "Ramp",
    "Reduction",
    "Run",
    "RunEnded",
    "RunFailed",
    "RunStarted",
    "RunStopped",
    "Samples",
    "Scheme",
    "StepsDone",
    "Taps",
    "Warned",
    "at_least_float32",
    "choice",
    "evaluating",
    "hookimpl",
    "pool_to_smaller",
    "reduce",
    "seeded",
    "softened_kl",
    "without_autocast",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"kdzoo.api.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
