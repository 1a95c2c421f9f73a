"""kdzoo: a plugin-based zoo of knowledge-distillation algorithms between any two timm backbones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kdzoo.version import __version__

if TYPE_CHECKING:
    from kdzoo.distiller import Distiller
    from kdzoo.method_task import MethodTask

__all__ = ["Distiller", "MethodTask", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Distiller":  # needs torch, which the command line does without
        from kdzoo.distiller import Distiller

        return Distiller
    if name == "MethodTask":
        from kdzoo.method_task import MethodTask

        return MethodTask
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
