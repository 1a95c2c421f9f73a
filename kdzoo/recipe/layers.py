"""Layers of settings: later ones win, and each value remembers who set it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kdzoo.errors import KdzooError, UnknownName, shortened
from kdzoo.recipe.component import OBSERVERS
from kdzoo.yaml_text import parse

COMPONENTS = ("knowledge", "scheme", "algorithm")

_LISTS = ("knowledge", "observers")
"""Keys that may have several components, whose settings are reached by name: ``knowledge.at.weight``."""


@dataclass(frozen=True)
class Layer:
    """Nested settings and where they come from: a file, ``--set``, ``method kd``."""

    source: str
    values: Mapping[str, Any]


@dataclass
class Merged:
    """What the layers come to, and the source of each dotted key."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def add(self, layer: Layer) -> None:
        """Lay ``layer`` on top."""
        self._merge(self.values, layer.values, layer.source, ())

    def source(self, key: str) -> str:
        """Who set ``key``, or the nearest key above or below it."""
        parts = key.split(".")
        for length in range(len(parts), 0, -1):
            prefix = ".".join(parts[:length])
            if prefix in self.sources:
                return self.sources[prefix]
            below = [source for name, source in self.sources.items() if name.startswith(f"{prefix}.")]
            if below:
                return below[-1]
        return "recipe"

    def _merge(self, into: dict[str, Any], new: Mapping[str, Any], source: str, at: tuple[str, ...]) -> None:
        for key, value in new.items():
            here = (*at, key)
            if not at and key in _LISTS and _is_list(key, into.get(key), value):
                into[key] = self._listed(key, into.get(key), value, source)
                self.sources[key] = source
                continue
            if not at and key in COMPONENTS:
                value = _component(into.get(key), value)
            elif at == ("roles",) and isinstance(value, str):
                value = {"model": value}
            if isinstance(value, Mapping) and isinstance(into.get(key), dict):
                self._merge(into[key], value, source, here)
            elif isinstance(value, Mapping):
                into[key] = {}
                self._merge(into[key], value, source, here)
            else:
                into[key] = value
            self.sources[".".join(map(str, here))] = source

    def _listed(self, kind: str, old: Any, new: Any, source: str) -> list[Any]:
        """A list of components, each a mapping with its name; those that stay keep what was said of them.

        Settings of an observer that is not in the list add it.
        """
        if kind == "observers" and old is None:
            old = OBSERVERS
        before: dict[str, dict[str, Any]] = {one["name"]: one for one in _parts(kind, old, source)}
        if isinstance(new, Mapping):
            for name in new:
                if name not in before and kind == "knowledge":
                    raise KdzooError(f"{source}: {UnknownName('knowledge in the sum', name, before)}")
            names = dict.fromkeys([*before, *new])
            parts = [{"name": name, **_mapping(kind, new.get(name, {}), source, name)} for name in names]
        else:
            parts = _parts(kind, new, source)
        merged = []
        for part in parts:
            name = part["name"]
            known = dict(before.get(name, {}))
            self._merge(known, part, source, (kind, name))
            merged.append(known)
        return merged


def _parts(kind: str, value: Any, source: str) -> list[dict[str, Any]]:
    """One component or several, each as a mapping."""
    if value is None:
        return []
    several = value if isinstance(value, list | tuple) else [value]
    named = [{"name": one} if isinstance(one, str) else one for one in several]
    for one in named:
        if not isinstance(one, Mapping) or not isinstance(one.get("name"), str):
            raise KdzooError(
                f"{source}: {kind}: expected names, or mappings with a name, not {shortened(one)}"
            )
    return [dict(one) for one in named]


def _mapping(kind: str, value: Any, source: str, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        such = f"{kind}.{name}.{'weight' if kind == 'knowledge' else 'KEY'}"
        raise KdzooError(f"{source}: {kind}.{name}: expected keys such as {such}")
    return value


def _is_list(kind: str, old: Any, new: Any) -> bool:
    """Whether a list of components is named, or changed part by part: ``knowledge.at.weight``."""
    if isinstance(new, list | tuple):
        return True
    if not isinstance(new, Mapping) or "name" in new:
        return False
    if isinstance(old, list) or kind == "observers":
        return True
    return isinstance(old, dict) and isinstance(new.get(str(old.get("name"))), Mapping)


def sources_of(layers: Iterable[Layer]) -> dict[str, str]:
    """Dotted key -> the layer that sets it; one of ``--set`` is named with the key."""
    merged = Merged()
    for layer in layers:
        merged.add(layer)
    return {key: f"{source} {key}" if source == "--set" else source for key, source in merged.sources.items()}


def models_of(layers: Iterable[Layer]) -> dict[str, str]:
    """Role -> the model that the layers name for it; what is no role's settings is left to the recipe to refuse."""
    merged = Merged()
    for layer in layers:
        merged.add(layer)
    roles = merged.values.get("roles")
    named = roles.items() if isinstance(roles, dict) else ()
    return {
        role: str(one["model"])
        for role, one in named
        if isinstance(one, dict) and one.get("model") is not None
    }


def _component(old: Any, new: Any) -> Any:
    """Naming another component drops the settings of the one before."""
    if isinstance(new, str):
        new = {"name": new}
    if isinstance(old, list) and isinstance(new, Mapping):  # one of a sum alone keeps its settings
        own: dict[str, Any] = next((part for part in old if part.get("name") == new.get("name")), {})
        return {**{key: value for key, value in own.items() if key != "weight"}, **new}
    if (
        isinstance(old, dict)
        and isinstance(new, Mapping)
        and new.get("name", old.get("name")) != old.get("name")
    ):
        old.clear()
    return new


def dotted(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` -> ``{"a": {"b": 1}}``; later keys win."""
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        at = nested
        *above, last = key.split(".")
        for part in above:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                raise KdzooError(
                    f"{shortened(key, quoted=False)}: {part!r} is set to a value and has keys at once"
                )
        at[last] = value
    return nested


def flattened(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """``{"a": {"b": 1}}`` -> ``("a.b", 1)``."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def parse_set(assignments: Iterable[str]) -> dict[str, Any]:
    """``["knowledge.temperature=2"]`` -> ``{"knowledge": {"temperature": 2}}``; values are YAML.

    Raises:
        KdzooError: an assignment without ``=``, or whose value is not YAML.
    """
    assigned: dict[str, Any] = {}
    for text in assignments:
        key, equals, content = text.partition("=")
        if not equals or not key.strip():
            given = shortened(text, quoted=False)
            raise KdzooError(f"--set {given}: expected KEY=VALUE, such as --set knowledge.temperature=2")
        assigned[key.strip()] = parse(content, f"--set {shortened(key.strip(), quoted=False)}", lines=False)
    expanded: dict[str, Any] = {}
    for key, given in assigned.items():
        value: Any = {"name": given} if key in COMPONENTS and isinstance(given, str) else given
        expanded.update(
            {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
        )
    return dotted(expanded)
