"""Deprecated names keep working for a while and warn. docs/reference.md has the promise."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def deprecated(
    name: str, *, since: str, remove: str, instead: str
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a deprecated function or method: each call warns, then runs it.

    Args:
        name: what its users write, such as ``Run.see``.
        since: the minor version that deprecates it, such as ``"0.2"``.
        remove: the version that no longer has it. A test fails from then on until the function is gone.
        instead: what to write instead.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def warning(*args: P.args, **kwargs: P.kwargs) -> R:
            warn_deprecated(name, since=since, remove=remove, instead=instead)
            return function(*args, **kwargs)

        return warning

    return decorate


def warn_deprecated(name: str, *, since: str, remove: str, instead: str) -> None:
    """Warn that ``name`` is deprecated; for what a decorator cannot reach, such as arguments and keys of recipes.

    The function that calls this one is what the user called; the warning shows the user's line.

    Args:
        name: what its users write.
        since: the minor version that deprecates it.
        remove: the version that no longer has it.
        instead: what to write instead.
    """
    text = f"{name} is deprecated since kdzoo {since} and will be removed in {remove}: use {instead}"
    warnings.warn(text, DeprecationWarning, stacklevel=3)  # the line that called whoever calls this
