"""The zoo: every component that the installed plugins provide, by kind and name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

import pluggy

from kdzoo.api import hooks
from kdzoo.errors import KdzooError, UnknownName
from kdzoo.zoo.plugin import Plugin, installed

Kind = Literal["knowledge", "scheme", "algorithm", "observer", "metric", "dataset", "backbone", "command"]

KINDS: tuple[Kind, ...] = ("knowledge", "scheme", "algorithm")
"""What a recipe names."""

HOOKS: Mapping[Kind, str] = {
    "knowledge": "kdzoo_knowledge",
    "scheme": "kdzoo_schemes",
    "algorithm": "kdzoo_algorithms",
    "observer": "kdzoo_observers",
    "metric": "kdzoo_metrics",
    "dataset": "kdzoo_datasets",
}

_BASES: Mapping[Kind, str] = {
    "knowledge": "kdzoo.api.knowledge.Knowledge",
    "scheme": "kdzoo.api.scheme.Scheme",
    "algorithm": "kdzoo.api.algorithm.Algorithm",
    "observer": "kdzoo.api.observer.Observer",
    "metric": "kdzoo.api.metric.Metric",
    "dataset": "kdzoo.api.source.DataSource",
}

RESERVED: Mapping[Kind, frozenset[str]] = {"dataset": frozenset({"digits", "folder"})}
"""Names that the core gives a meaning without a component."""

PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""``package.module:Name``."""


@dataclass(frozen=True)
class Found:
    """A component and the plugin that provides it.

    Attributes:
        kind: what it is.
        declared: the class, or where it is: ``package.module:Class``; where a command's function is; of a backbone,
            the model's name.
        plugin: the provider.
        name: by which recipes call it.
    """

    kind: Kind
    declared: type[Any] | str
    plugin: Plugin
    name: str

    @cached_property
    def component(self) -> Any:
        """The class, or a command's function; imported now if only its place was declared.

        Raises:
            KdzooError: there is no such thing, or it is no component of this kind and name.
        """
        if isinstance(self.declared, type):
            return self.declared
        with self.plugin.guarded(f"{self.declared}:"):
            loaded = EntryPoint(self.name, self.declared, hooks.GROUP).load()
            if self.kind == "command":
                fault = None if callable(loaded) else f"{self.declared}: is no function"
            else:
                fault = fault_of(self.kind, loaded)
                if fault is None and loaded.name != self.name:
                    fault = f"{self.declared} is called {loaded.name!r} there"
            if fault is None:
                return loaded
            self.plugin.broken = fault
        raise self.refusal(str(self.plugin.broken))

    def refusal(self, fault: str) -> KdzooError:
        """The error that says why it cannot be used; its plugin is broken from here on."""
        self.plugin.broken = f"{self.kind} {self.name!r}: {fault}"
        return KdzooError(f"{self.kind} {self.name!r} of {self.plugin.source} does not load: {fault}")


class Zoo:
    """Loads plugins when first asked, keeps broken ones apart, and finds components by name.

    Attributes:
        known: the installed plugins by metadata, loaded or not.
    """

    def __init__(self, plugins: list[Plugin] | None = None) -> None:
        self.known = installed() if plugins is None else plugins
        self._found: dict[Kind, dict[str, list[Found]]] = {}
        self._manager = pluggy.PluginManager(hooks.GROUP)
        self._manager.add_hookspecs(hooks)

    @cached_property
    def plugins(self) -> list[Plugin]:
        """The installed plugins, each loaded or with the reason why it is not."""
        for plugin in self.known:
            plugin.load()
            if plugin.loaded is not None:
                self._manager.register(plugin.loaded, name=f"{plugin.distribution}:{plugin.name}")
        return self.known

    def call(self, hook: str) -> list[tuple[Plugin, Any]]:
        """What each working plugin returns from ``hook``; one that raises becomes broken."""
        answers: list[tuple[Plugin, Any]] = []
        for plugin in self.plugins:
            if plugin.loaded is None or not hasattr(plugin.loaded, hook):
                continue
            others = [other.loaded for other in self.plugins if other is not plugin and other.loaded]
            with plugin.guarded(f"hook {hook} raised"), plugin.watched():
                answer = self._manager.subset_hook_caller(hook, others)()
                answers.extend((plugin, item) for item in answer)
        return answers

    def components(self, kind: Kind) -> Mapping[str, list[Found]]:
        """Every component of a kind by name. More than one under a name is an error once that name is used."""
        if kind not in self._found:
            by_name: dict[str, list[Found]] = {}
            for plugin, classes in self.call(HOOKS[kind]):
                for found in _declared(kind, classes, plugin):
                    if found.name in RESERVED.get(kind, ()):
                        plugin.broken = f"{kind} {found.name!r} is the core's; give yours another name"
                    else:
                        by_name.setdefault(found.name, []).append(found)
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
            raise UnknownName(kind, name, components, self.hint)
        found = components[name]
        if len(found) > 1:
            sources = " and ".join(one.plugin.source for one in found)
            raise KdzooError(f"{kind} {name!r} is provided twice, by {sources}; uninstall one of them")
        return found[0]

    @property
    def hint(self) -> str:
        """The plugins that do not work, in parentheses: what is missed may be in one of them. Empty if all do."""
        off = [f"{p.distribution} ({p.broken or p.state})" for p in self.plugins if p.state != "ok"]
        return f"(plugins that do not load: {'; '.join(off)})" if off else ""

    def has(self, *distributions: str) -> bool:
        """Whether all these plugin distributions are installed, by metadata alone."""
        there = {plugin.distribution.replace("_", "-").lower() for plugin in self.known}
        return {one.replace("_", "-").lower() for one in distributions} <= there

    def fragments(self) -> list[tuple[Plugin, Path | Mapping[str, Any]]]:
        """The registry fragments that plugins bring."""
        return self.call("kdzoo_registry")


def _declared(kind: Kind, answer: Any, plugin: Plugin) -> Iterator[Found]:
    """What one hook returned: a mapping from names to places, or classes. What is neither breaks the plugin."""
    if isinstance(answer, Mapping):
        for name, place in answer.items():
            if isinstance(name, str) and isinstance(place, str) and PLACE.fullmatch(place):
                yield Found(kind, place, plugin, name)
            else:
                plugin.broken = (
                    f"hook {HOOKS[kind]} must map names to places such as 'package.module:Class', "
                    f"not {name!r} to {place!r}"
                )
        return
    for component in answer if isinstance(answer, list | tuple) else [answer]:
        fault = fault_of(kind, component)
        if fault is None:
            yield Found(kind, component, plugin, component.name)
        else:
            plugin.broken = fault


def fault_of(kind: Kind, component: Any) -> str | None:
    """Why this cannot be a component of that kind; None if it can."""
    base = _BASES[kind]
    if not isinstance(component, type):
        return f"hook {HOOKS[kind]} must return classes, not {component!r}"
    if not any(f"{cls.__module__}.{cls.__qualname__}" == base for cls in component.__mro__):
        return f"{component.__name__} is not a subclass of {base}"
    if not isinstance(getattr(component, "name", None), str):
        return f"{component.__name__} has no name"
    return None
