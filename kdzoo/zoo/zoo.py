"""The zoo: every component that the installed plugins provide, by kind and name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pluggy

from kdzoo.api import hooks
from kdzoo.errors import KdzooError, UnknownName
from kdzoo.zoo.plugin import Plugin, first_line, installed, strict

Kind = Literal["knowledge", "scheme", "algorithm", "observer"]

HOOKS: Mapping[Kind, str] = {
    "knowledge": "kdzoo_knowledge",
    "scheme": "kdzoo_schemes",
    "algorithm": "kdzoo_algorithms",
    "observer": "kdzoo_observers",
}


@dataclass(frozen=True)
class Found:
    """A component class and the plugin that provides it."""

    kind: Kind
    component: type[Any]
    plugin: Plugin

    @property
    def name(self) -> str:
        """The name by which recipes call it."""
        return str(self.component.name)


class Zoo:
    """Loads plugins when first asked, keeps broken ones apart, and finds components by name."""

    def __init__(self, plugins: list[Plugin] | None = None) -> None:
        self._plugins = installed() if plugins is None else plugins
        self._found: dict[Kind, dict[str, list[Found]]] = {}

    @property
    def known(self) -> list[Plugin]:
        """The installed plugins by metadata, loaded or not."""
        return self._plugins

    @cached_property
    def plugins(self) -> list[Plugin]:
        """The installed plugins, each loaded or with the reason why it is not."""
        for plugin in self._plugins:
            plugin.load()
            if plugin.loaded is not None:
                self._manager.register(plugin.loaded, name=f"{plugin.distribution}:{plugin.name}")
        return self._plugins

    @cached_property
    def _manager(self) -> pluggy.PluginManager:
        manager = pluggy.PluginManager(hooks.GROUP)
        manager.add_hookspecs(hooks)
        return manager

    def call(self, hook: str) -> list[tuple[Plugin, Any]]:
        """What each working plugin returns from ``hook``; one that raises becomes broken."""
        answers: list[tuple[Plugin, Any]] = []
        for plugin in self.plugins:
            if plugin.loaded is None or not hasattr(plugin.loaded, hook):
                continue
            others = [other.loaded for other in self.plugins if other is not plugin and other.loaded]
            try:
                answer = self._manager.subset_hook_caller(hook, others)()
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                if strict():
                    raise
                plugin.broken = f"hook {hook} raised {first_line(error)}"
                continue
            answers.extend((plugin, item) for item in answer)
        return answers

    def components(self, kind: Kind) -> Mapping[str, list[Found]]:
        """Every component of a kind by name. More than one under a name is an error once that name is used."""
        if kind not in self._found:
            by_name: dict[str, list[Found]] = {}
            for plugin, classes in self.call(HOOKS[kind]):
                for component in classes if isinstance(classes, list | tuple) else [classes]:
                    fault = _fault(kind, component)
                    if fault:
                        plugin.broken = fault
                        continue
                    by_name.setdefault(component.name, []).append(Found(kind, component, plugin))
            self._found[kind] = dict(sorted(by_name.items()))
        return self._found[kind]

    def find(self, kind: Kind, name: str) -> Found:
        """The component of that kind and name.

        Raises:
            UnknownName: nothing is called so; broken plugins are named, since it may be in one of them.
            KdzooError: two distributions provide it.
        """
        components = self.components(kind)
        if name not in components:
            broken = [f"{p.distribution} ({p.broken})" for p in self.plugins if p.broken]
            hint = f"(plugins that do not load: {'; '.join(broken)})" if broken else ""
            raise UnknownName(kind, name, components, hint)
        found = components[name]
        if len(found) > 1:
            sources = " and ".join(f"{one.plugin.distribution} {one.plugin.version}" for one in found)
            raise KdzooError(f"{kind} {name!r} is provided twice, by {sources}; uninstall one of them")
        return found[0]

    def has(self, distribution: str) -> bool:
        """Whether a plugin distribution is installed, by metadata alone."""
        wanted = distribution.replace("_", "-").lower()
        return any(plugin.distribution.replace("_", "-").lower() == wanted for plugin in self._plugins)

    def fragments(self) -> list[tuple[Plugin, Path | Mapping[str, Any]]]:
        """The registry fragments that plugins bring."""
        return self.call("kdzoo_registry")


def _fault(kind: Kind, component: Any) -> str | None:
    base = {
        "knowledge": "kdzoo.api.knowledge.Knowledge",
        "scheme": "kdzoo.api.scheme.Scheme",
        "algorithm": "kdzoo.api.algorithm.Algorithm",
        "observer": "kdzoo.api.observer.Observer",
    }[kind]
    if not isinstance(component, type):
        return f"hook {HOOKS[kind]} must return classes, not {component!r}"
    if not any(f"{cls.__module__}.{cls.__qualname__}" == base for cls in component.__mro__):
        return f"{component.__name__} is not a subclass of {base}"
    if not isinstance(getattr(component, "name", None), str):
        return f"{component.__name__} has no name"
    return None
