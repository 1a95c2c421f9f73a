"""The hooks that a plugin may implement. Light on purpose: importing this does not import torch.

A plugin is a module named by an entry point in the group ``kdzoo``. Import your component classes inside the
hook function, not at the top of that module, so that ``kdzoo list`` stays quick for everybody::

    from kdzoo.api import hookimpl

    @hookimpl
    def kdzoo_knowledge():
        from .cosine import Cosine
        return [Cosine]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from kdzoo.api.algorithm import Algorithm
    from kdzoo.api.knowledge import Knowledge
    from kdzoo.api.observer import Observer
    from kdzoo.api.scheme import Scheme

GROUP = "kdzoo"
"""The entry-point group in which plugins announce themselves."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def kdzoo_knowledge() -> Sequence[type[Knowledge]]:  # type: ignore[empty-body]  # a specification has no body
    """Return the Knowledge classes of this plugin: what is taught."""


@hookspec
def kdzoo_schemes() -> Sequence[type[Scheme]]:  # type: ignore[empty-body]  # a specification has no body
    """Return the Scheme classes of this plugin: who teaches whom."""


@hookspec
def kdzoo_algorithms() -> Sequence[type[Algorithm]]:  # type: ignore[empty-body]  # a specification has no body
    """Return the Algorithm classes of this plugin: how training is run."""


@hookspec
def kdzoo_observers() -> Sequence[type[Observer]]:  # type: ignore[empty-body]  # a specification has no body
    """Return the Observer classes of this plugin: who is told what happens."""


@hookspec
def kdzoo_registry() -> Path | Mapping[str, Any]:  # type: ignore[empty-body]  # a specification has no body
    """Return a registry fragment, as a YAML file's path or as its content: methods and suites to add."""
