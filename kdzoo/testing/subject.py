"""A component under examination, and the small recipe in which it is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kdzoo.errors import KdzooError
from kdzoo.recipe.component import Component
from kdzoo.recipe.layers import COMPONENTS, Layer, dotted
from kdzoo.recipe.model import Recipe
from kdzoo.registry.load import load_registry
from kdzoo.registry.model import Method, Registry
from kdzoo.registry.resolve import resolve
from kdzoo.registry.roles import MissingRole
from kdzoo.testing.teacher import with_random_teachers
from kdzoo.zoo import Zoo
from kdzoo.zoo.zoo import HOOKS, Found

SMALL: Mapping[str, Any] = {
    "store_gb": 0,  # the teacher is to be seen at work
    "roles.student.model": "test_efficientnet",
    "roles.teacher.model": "test_resnet",
    "data.dataset": "digits",
    "data.train_per_class": 4,
    "data.test_per_class": 2,
    "data.val_fraction": 0.0,
    "data.batch_size": 8,
    "epochs": 2,
    "optim.warmup_epochs": 0.0,
    "checkpoint_seconds": 1e9,
    "observers": [],
}
"""Forty digits, two epochs, networks of a second."""


@dataclass(frozen=True)
class Subject:
    """A component under examination.

    Attributes:
        found: the component.
        zoo: its zoo.
        registry: the zoo's registry.
        method: the method in which it is examined; None is the core's scheme and algorithm.
        settings: additional dotted keys of the recipe, for components that need more than the small recipe
            and the method's ``small`` in the registry.

    """

    found: Found
    zoo: Zoo = field(repr=False)
    registry: Registry = field(repr=False)
    method: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``knowledge 'rkd' of kdzoo-relation 0.1.0``."""
        plugin = self.found.plugin
        return f"{self.found.kind} {self.found.name!r} of {plugin.distribution} {plugin.version}"

    @property
    def exempt(self) -> Mapping[str, str]:
        """The class attribute ``exempt`` of the component; an empty string is a missing reason.

        ``check`` or ``check:item`` -> the reason. An item is the last word of a finding's ``where``: a
        hyper-parameter, a parameter or a role.
        """
        declared: Any = getattr(self.found.component, "exempt", {})
        if isinstance(declared, str):
            return {declared: ""}
        if not isinstance(declared, Mapping):
            return dict.fromkeys(map(str, declared), "")
        return {str(name): reason if isinstance(reason, str) else "" for name, reason in declared.items()}

    def exempt_items(self, check: str) -> Mapping[str, str]:
        """Item -> the reason for its exemption from this check."""
        return {
            name.partition(":")[2]: reason.strip()
            for name, reason in self.exempt.items()
            if name.startswith(f"{check}:") and reason.strip()
        }

    @property
    def elsewhere(self) -> Iterator[Subject]:
        """The same component in other installed methods of the registry."""
        for name in _using(self.found, self.registry):
            if name != self.method and self.zoo.has(*self.registry.methods[name].packages):
                yield replace(self, method=name)

    @property
    def used(self) -> list[Component]:
        """The component's entries in the registry's method."""
        named = self.entry.components if self.entry else []
        return [one for kind, one in named if (kind, one.name) == (self.found.kind, self.found.name)]

    def configured(self) -> Component:
        """The component in the small recipe."""
        named = self.recipe().components
        return next(one for kind, one in named if (kind, one.name) == (self.found.kind, self.found.name))

    def key(self, name: str) -> str:
        """The recipe's dotted key of one of its hyper-parameters."""
        several = self.found.kind == "knowledge" and len(self.recipe().knowledge) > 1
        return ".".join([self.found.kind, *([self.found.name] if several else []), name])

    @property
    def entry(self) -> Method | None:
        """The registry's entry of the method."""
        return self.registry.methods[self.method] if self.method else None

    def with_settings(self, **settings: Any) -> Subject:
        """The same subject with additional keys of the recipe."""
        return replace(self, settings={**self.settings, **settings})

    def recipe(self, **changes: Any) -> Recipe:
        """The small recipe with this component; ``changes`` are dotted keys."""
        own: dict[str, Any] = {} if self.method else {self.found.kind: self.found.name}
        if self.found.kind == "observer":
            own = {"observers": [self.found.name]}
        small = self.entry.small if self.entry else {}
        keys = {**SMALL, **own, **small, **self.settings, **changes}
        # A component's name is a key beside its hyper-parameters.
        keys = {f"{key}.name" if key in COMPONENTS else key: value for key, value in keys.items()}
        layers = [Layer("kdzoo check", dotted(keys))]
        try:
            recipe = resolve(
                zoo=self.zoo, registry=self.registry, method=self.method or "baseline", layers=layers
            )
        except MissingRole as missing:
            return self.recipe(**{**changes, f"roles.{missing.role}.model": SMALL["roles.student.model"]})
        return with_random_teachers(recipe)


def subjects(*names: str) -> list[Subject]:
    """The subjects of these names, among what is installed: a component, a method, or a distribution.

    Raises:
        KdzooError: a name is unknown.
    """
    zoo = Zoo()
    return subjects_of(zoo, load_registry(zoo), *names)


def subjects_of(zoo: Zoo, registry: Registry, *names: str) -> list[Subject]:
    """The subjects of these names: a component, a method (all its components), or a distribution (all of it).

    Raises:
        KdzooError: a name is unknown.
    """
    every = [found for kind in HOOKS for several in zoo.components(kind).values() for found in several]
    chosen: list[Subject] = []
    for name in names:
        if name in registry.methods:
            method = registry.methods[name]
            used = {(kind, component.name) for kind, component in method.components}
            own = [
                one
                for one in every
                if (one.kind, one.name) in used and one.plugin.distribution == method.package
            ]
            chosen += [Subject(one, zoo, registry, name) for one in own]
            continue
        found = [one for one in every if name in (one.name, one.plugin.distribution)]
        if not found:
            raise KdzooError(f"nothing installed is called {name!r}: no component, method or distribution")
        chosen += [Subject(one, zoo, registry, _method_with(one, registry, zoo)) for one in found]
    return list({(one.found.kind, one.found.name): one for one in chosen}.values())


def _method_with(found: Found, registry: Registry, zoo: Zoo) -> str | None:
    """The method in which a component is examined: one of the same name, else the first that uses it.

    Installed methods with a teacher are preferred to methods in which the student learns alone.
    """
    using = _using(found, registry)
    if found.name in using:
        return found.name
    teaching = [
        name
        for name in using
        if registry.methods[name].knowledge and zoo.has(*registry.methods[name].packages)
    ]
    return next(iter([*teaching, *using]), None)


def _using(found: Found, registry: Registry) -> list[str]:
    """The methods that use it."""
    return [
        name
        for name, method in registry.methods.items()
        if (found.kind, found.name) in {(kind, component.name) for kind, component in method.components}
    ]
