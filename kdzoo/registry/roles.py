"""The roles that the scheme and the algorithm of a recipe declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from string import digits
from typing import Any

from pydantic import ValidationError

from kdzoo.api.declared import DeclaredRole
from kdzoo.errors import KdzooError, UnknownName
from kdzoo.recipe.component import Component
from kdzoo.recipe.layers import Layer, Merged, models_of
from kdzoo.recipe.model import Recipe
from kdzoo.zoo import Zoo
from kdzoo.zoo.hyperparameters import validate
from kdzoo.zoo.zoo import Kind

DECLARE: tuple[Kind, ...] = ("scheme", "algorithm")
"""The kinds of components that declare roles."""

Declared = Mapping[str, tuple[DeclaredRole, str]]
"""Role -> what is declared, and by whom."""


class MissingRole(KdzooError):
    """The recipe names no network for a role that needs one.

    Attributes:
        role: its name.
    """

    def __init__(self, role: DeclaredRole, owner: str) -> None:
        self.role = role.name
        super().__init__(
            f"{owner} needs a network for the role {role.name!r} ({role.meaning}): pass {role_flag(role.name)}"
        )


def role_flag(role: str) -> str:
    """The flag that names the network of a role, as a user types it."""
    return f"--{role} MODEL" if role in ("student", "teacher") else f"--roles.{role}=MODEL"


def declares(component: Any) -> bool:
    """Whether this scheme or algorithm says which roles it has."""
    from kdzoo.api import Algorithm, Scheme  # not at the top: they import torch

    return component.declared_roles not in (Scheme.declared_roles, Algorithm.declared_roles)


def declared_roles(zoo: Zoo, components: Iterable[tuple[str, Component]]) -> Declared:
    """The roles that these schemes and algorithms declare with these settings.

    Raises:
        KdzooError: a component or a setting is unknown, or what is declared is no role.
    """
    found: dict[str, tuple[DeclaredRole, str]] = {}
    for kind in DECLARE:
        for component in (one for named, one in components if named == kind):
            provider = zoo.find(kind, component.name)
            if not declares(provider.component):
                continue
            owner = f"{kind} {component.name!r}"
            made = provider.component(**validate(provider, component.settings))
            for role in made.declared_roles():
                if not isinstance(role, DeclaredRole):
                    raise provider.refusal(f"declared_roles has {role!r}, which is no DeclaredRole")
                found.setdefault(role.name, (role, owner))
    return found


def declared_in(merged: Merged, zoo: Zoo) -> Declared:
    """The same for settings that are not validated yet; nothing where they are wrong, which is found out later."""
    components: list[tuple[Kind, Component]] = []
    with suppress(ValidationError):
        components = [(kind, Component.model_validate(merged.values[kind])) for kind in DECLARE]
        for kind, one in components:
            validate(zoo.find(kind, one.name), one.settings, merged.source(kind), kind)
    return declared_roles(zoo, components)


def fill_in(merged: Merged, declared: Declared) -> None:
    """Put the defaults of declared roles below what the recipe says."""
    roles: Any = merged.values.setdefault("roles", {})
    if not isinstance(roles, dict):
        return
    for name, (role, owner) in declared.items():
        given = roles.get(name) or {}
        if role.default is None or not isinstance(given, dict) or given.get("model") is not None:
            continue
        default = {"model": role.default} if isinstance(role.default, str) else role.default
        roles[name] = {**default, **given}
        merged.sources.setdefault(f"roles.{name}", f"the default of {owner}")
    for like in {role.like for role, _ in declared.values() if role.like not in (None, *declared)}:
        _hand_down(roles, str(like), [role.name for role, _ in declared.values() if role.like == like])


def _hand_down(roles: dict[str, Any], like: str, names: Sequence[str]) -> None:
    """Give the keys of ``like``, if it has no network itself, to the roles like it, if all of them have theirs."""
    template = roles.get(like)
    own = {name: {"model": one} if isinstance(one := roles.get(name), str) else one for name in names}
    named = all(isinstance(one, dict) and one.get("model") is not None for one in own.values())
    if isinstance(template, dict) and template.get("model") is None and named:
        del roles[like]
        roles |= {name: {**template, **(one or {})} for name, one in own.items()}


def nameable(declared: Declared) -> set[str]:
    """The names under which a recipe may give networks to these roles; ``student`` and ``teacher`` always are.

    A numbered role may have those of its name without the number, and one like another those of the other.
    """
    return {"student", "teacher"} | _nameable(declared)


def _nameable(declared: Declared) -> set[str]:
    names = set(declared)
    for name, (role, _) in declared.items():
        if role.default is None:  # its own network would win
            names |= {name.rstrip(digits), role.like or name}
    return names


def unused_teacher(recipe: Recipe, layers: Iterable[Layer], zoo: Zoo) -> list[str]:
    """A warning where the layers name a teacher and nothing in the recipe has one; else none."""
    model = models_of(layers).get("teacher")
    if model is None or _has_teacher(recipe, zoo):
        return []
    what = f"method {recipe.method!r}" if recipe.method else f"scheme {recipe.scheme.name!r}"
    return [f"{what} has no teacher: {model} is not used"]


def _has_teacher(recipe: Recipe, zoo: Zoo) -> bool:
    scheme = zoo.find("scheme", recipe.scheme.name).component
    undeclared = scheme.kind == "offline" and not declares(scheme)
    declared = _nameable(declared_roles(zoo, recipe.components))
    return "teacher" in recipe.roles and ("teacher" in declared or undeclared)


def check_known(declared: Declared, recipe: Recipe) -> None:
    """Whether every role that the recipe names has a part in it: one that has none would be ignored.

    Raises:
        UnknownName: one has none.
    """
    known = nameable(declared)
    for role in recipe.roles:
        if role not in known:
            of = f"scheme {recipe.scheme.name!r} with algorithm {recipe.algorithm.name!r}"
            raise UnknownName("role", role, known, of=of)


def check_named(declared: Declared, roles: Iterable[str]) -> None:
    """Whether every role that needs a network is among those that the recipe names.

    Raises:
        MissingRole: one is not.
    """
    named = set(roles)
    for role, owner in declared.values():
        if role.required and role.name not in named:
            raise MissingRole(role, owner)
