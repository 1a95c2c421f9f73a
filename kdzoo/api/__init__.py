"""Everything that a plugin imports from the core. Names that need torch are loaded when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kdzoo.api.hooks import hookimpl
from kdzoo.api.observer import (
    EpochEnded,
    Event,
    Job,
    Noted,
    Observer,
    PhaseStarted,
    Pictured,
    Preparing,
    RunEnded,
    RunFailed,
    RunStarted,
    RunStopped,
    StepFigures,
    StepsDone,
    Warned,
)
from kdzoo.api.tune import Tune
from kdzoo.errors import KdzooError
from kdzoo.markdown import markdown_text

if TYPE_CHECKING:
    from kdzoo.api.algorithm import Algorithm, Phase
    from kdzoo.api.assembled import Assembled
    from kdzoo.api.batch import UNLABELLED, Batch, Output
    from kdzoo.api.declared import DeclaredRole
    from kdzoo.api.divergence import softened_kl
    from kdzoo.api.knowledge import Knowledge
    from kdzoo.api.loss_knowledge import LossKnowledge
    from kdzoo.api.maps import pool_to_smaller
    from kdzoo.api.metric import Metric, WrappedMetric
    from kdzoo.api.mixing import refuse_mixing
    from kdzoo.api.modes import evaluating
    from kdzoo.api.network import Backbone
    from kdzoo.api.noise import Noise
    from kdzoo.api.options import Reduction, choice, reduce
    from kdzoo.api.precision import at_least_float32, without_autocast
    from kdzoo.api.probe import Probe
    from kdzoo.api.ramp import Ramp
    from kdzoo.api.run import Data, Run, Stream
    from kdzoo.api.scheme import Lesson, Scheme
    from kdzoo.api.several_teachers import SeveralTeachers
    from kdzoo.api.source import DataSource, Samples
    from kdzoo.api.taps import Taps
    from kdzoo.recipe.augment import AutoAugmentName
    from kdzoo.recipe.optim import OptimConfig
    from kdzoo.seeds import seeded

_LAZY = {
    "api.algorithm": ("Algorithm", "Phase"),
    "api.assembled": ("Assembled",),
    "api.batch": ("Batch", "Output", "UNLABELLED"),
    "api.declared": ("DeclaredRole",),
    "api.divergence": ("softened_kl",),
    "api.knowledge": ("Knowledge",),
    "api.loss_knowledge": ("LossKnowledge",),
    "api.maps": ("pool_to_smaller",),
    "api.metric": ("Metric", "WrappedMetric"),
    "api.mixing": ("refuse_mixing",),
    "api.modes": ("evaluating",),
    "api.network": ("Backbone",),
    "api.noise": ("Noise",),
    "api.options": ("Reduction", "choice", "reduce"),
    "api.precision": ("at_least_float32", "without_autocast"),
    "api.probe": ("Probe",),
    "api.ramp": ("Ramp",),
    "api.run": ("Data", "Run", "Stream"),
    "api.scheme": ("Lesson", "Scheme"),
    "api.several_teachers": ("SeveralTeachers",),
    "api.source": ("DataSource", "Samples"),
    "api.taps": ("Taps",),
    "recipe.augment": ("AutoAugmentName",),
    "recipe.optim": ("OptimConfig",),
    "seeds": ("seeded",),
}
"""Module -> what it has for plugins."""

__all__ = [
    "UNLABELLED",
    "Algorithm",
    "Assembled",
    "AutoAugmentName",
    "Backbone",
    "Batch",
    "Data",
    "DataSource",
    "DeclaredRole",
    "EpochEnded",
    "Event",
    "Job",
    "KdzooError",
    "Knowledge",
    "Lesson",
    "LossKnowledge",
    "Metric",
    "Noise",
    "Noted",
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
    "SeveralTeachers",
    "StepFigures",
    "StepsDone",
    "Stream",
    "Taps",
    "Tune",
    "Warned",
    "WrappedMetric",
    "at_least_float32",
    "choice",
    "evaluating",
    "hookimpl",
    "markdown_text",
    "pool_to_smaller",
    "reduce",
    "refuse_mixing",
    "seeded",
    "softened_kl",
    "without_autocast",
]


def __getattr__(name: str) -> Any:
    for module, names in _LAZY.items():
        if name in names:
            return getattr(importlib.import_module(f"kdzoo.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
