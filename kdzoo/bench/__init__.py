"""Suites of runs under one protocol: planning, a local process pool, the leaderboard, the report.

``kdzoo.bench(...)`` is the command as a function; the package of that name is called in its place.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *arguments: Any, **named: Any) -> Any:
        # looked up here, since that package is above this one
        return importlib.import_module("kdzoo.python").bench(*arguments, **named)


sys.modules[__name__].__class__ = _Callable
