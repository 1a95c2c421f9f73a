"""The hooks that a plugin may implement. Importing this does not import torch.

A plugin is a module named by an entry point in the group ``kdzoo``. Return the names and import paths of your
components; a class is imported when a recipe names it, so that ``kdzoo plugins`` stays quick::

    from kdzoo.api import hookimpl

    @hookimpl
    def kdzoo_knowledge():
        return {"cosine": "my_package.cosine:Cosine"}

A list of classes also works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

if TYPE_CHECKING:
    from kdzoo.api.algorithm import Algorithm
    from kdzoo.api.knowledge import Knowledge
    from kdzoo.api.metric import Metric
    from kdzoo.api.observer import Observer
    from kdzoo.api.scheme import Scheme
    from kdzoo.api.source import DataSource

    Component = TypeVar("Component")
    Components = Mapping[str, str] | Sequence[type[Component]]
    """Name -> ``package.module:Class``, or the classes themselves."""

GROUP = "kdzoo"
"""The entry-point group of plugins."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def kdzoo_knowledge() -> Components[Knowledge]:  # type: ignore[empty-body]  # a specification has no body
    """Return the Knowledge classes of this plugin: what is taught."""


@hookspec
def kdzoo_schemes() -> Components[Scheme]:  # type: ignore[empty-body]  # a specification has no body
    """Return the Scheme classes of this plugin: who teaches whom."""


@hookspec
def kdzoo_algorithms() -> Components[Algorithm]:  # type: ignore[empty-body]  # a specification has no body
    """Return the Algorithm classes of this plugin: how training is run."""


@hookspec
def kdzoo_observers() -> Components[Observer]:  # type: ignore[empty-body]  # a specification has no body
    """Return the Observer classes of this plugin: which receive a run's events."""


@hookspec
def kdzoo_metrics() -> Components[Metric]:  # type: ignore[empty-body]  # a specification has no body
    """Return the Metric classes of this plugin: further figures of every student on the test split."""


@hookspec
def kdzoo_datasets() -> Components[DataSource]:  # type: ignore[empty-body]  # a specification has no body
    """Return the DataSource classes of this plugin: data sets for ``data.dataset``."""


@hookspec
def kdzoo_backbones() -> Sequence[str]:  # type: ignore[empty-body]  # a specification has no body
    """Return modules, such as ``my_package.networks``, that register models with timm when they are imported.

    They are imported when a recipe names a model that timm does not know.
    """


@hookspec
def kdzoo_commands() -> Mapping[str, str]:  # type: ignore[empty-body]  # a specification has no body
    """Return names of commands and import paths of their functions, ``{"weigh": "my_package.weigh:weigh"}``.

    The function's typed arguments become arguments and options, as Typer makes them. It is imported when
    ``kdzoo weigh`` is called.
    """


@hookspec
def kdzoo_registry() -> Path | Mapping[str, Any]:  # type: ignore[empty-body]  # a specification has no body
    """Return a registry fragment, as a YAML file's path or as its content: methods and suites to add."""
