"""The roles beside student and teacher that a suite gives to all its methods: each takes those that it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from string import digits

from kdzoo.errors import KdzooError, UnknownName
from kdzoo.recipe.layers import Layer
from kdzoo.registry.model import Pair, Registry, Suite
from kdzoo.registry.roles import declared_roles
from kdzoo.zoo import Zoo


def further_roles(
    name: str, suite: Suite, pairs: Mapping[str, Pair], layers: Iterable[Layer]
) -> dict[str, str]:
    """Role -> who names it: the suite, one of its pairs, or a layer on top."""
    given = [Layer(f"suite {name}", suite.recipe)]
    for pair_name, pair in pairs.items():
        source = f"suite {name}, pair {pair_name}"
        given += [Layer(source, {"roles": pair.roles}), Layer(source, pair.recipe)]
    named: dict[str, str] = {}
    for layer in (*given, *layers):
        roles = layer.values.get("roles")
        named |= dict.fromkeys(roles, layer.source) if isinstance(roles, Mapping) else {}
    return {role: source for role, source in named.items() if role not in ("student", "teacher")}


def check_further_roles(named: Mapping[str, str], registry: Registry, zoo: Zoo) -> None:
    """Whether some installed method declares each of these roles, of whatever number.

    Raises:
        UnknownName: none declares one of them.
    """
    if not named:
        return
    known: set[str] = set()
    for method in registry.methods.values():
        if zoo.has(*method.packages):
            with suppress(KdzooError):  # one that cannot be used is refused where it is planned
                known |= declared_roles(zoo, method.components).keys()
    for role, source in named.items():
        if role.rstrip(digits) not in {one.rstrip(digits) for one in known}:
            raise UnknownName(f"role in {source}:", role, known)
