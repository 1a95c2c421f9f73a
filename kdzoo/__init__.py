"""kdzoo: a plugin-based zoo of knowledge-distillation algorithms between any two timm backbones."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kdzoo.version import __version__

if TYPE_CHECKING:
    from kdzoo.distiller import Distiller
    from kdzoo.loops.training_set import TrainingSet
    from kdzoo.loops.wrap import wrap
    from kdzoo.method_task import MethodTask
    from kdzoo.python import distill, load

_LAZY = {
    "Distiller": "distiller",
    "MethodTask": "method_task",
    "TrainingSet": "loops.training_set",
    "distill": "python",
    "load": "python",
    "wrap": "loops.wrap",
}
"""Name -> its module; these need torch, which the command line does without."""

__all__ = ["Distiller", "MethodTask", "TrainingSet", "__version__", "bench", "distill", "load", "wrap"]


def __getattr__(name: str) -> Any:
    if name == "bench":
        return importlib.import_module("kdzoo.bench")  # a package that can be called
    if name in _LAZY:
        return getattr(importlib.import_module(f"kdzoo.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
