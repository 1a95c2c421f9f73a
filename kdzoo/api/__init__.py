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
    from kdzoo.api.source import DataSource, Samples
    from kdzoo.api.taps import Taps
    from kdzoo.recipe.model import OptimConfig
    from kdzoo.seeds import seeded

_LAZY = {
    "Assembled": "api.assembled",
    "Backbone": "api.network",
    "Probe": "api.probe",
    "Reduction": "api.options",
    "at_least_float32": "api.precision",
    "choice": "api.options",
    "evaluating": "api.modes",
    "reduce": "api.options",
    "seeded": "seeds",
    "without_autocast": "api.precision",
    "pool_to_smaller": "api.maps",
    "softened_kl": "api.divergence",
    "Algorithm": "api.algorithm",
    "Phase": "api.algorithm",
    "UNLABELLED": "api.batch",
    "Batch": "api.batch",
    "Output": "api.batch",
    "Knowledge": "api.knowledge",
    "LossKnowledge": "api.loss_knowledge",
    "Noise": "api.noise",
    "Ramp": "api.ramp",
    "Data": "api.run",
    "Run": "api.run",
    "Lesson": "api.scheme",
    "Scheme": "api.scheme",
    "DataSource": "api.source",
    "Samples": "api.source",
    "Taps": "api.taps",
    "OptimConfig": "recipe.model",
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
        return getattr(importlib.import_module(f"kdzoo.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
