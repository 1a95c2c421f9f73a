"""Which recipes can be trained on images without labels."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from kdzoo.errors import KdzooError
from kdzoo.recipe.component import Component, ComponentKind
from kdzoo.recipe.decides import is_trained_here
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.roles import RoleConfig
from kdzoo.registry.load import load_registry
from kdzoo.zoo import Zoo


def check_needs_no_labels(recipe: Recipe, zoo: Zoo) -> None:
    """Refuse a recipe that cannot do without labels.

    Args:
        recipe: a resolved recipe.
        zoo: where its components are found, and the methods that the message names.

    Raises:
        KdzooError: says which component needs labels, and the installed methods that need none; or which teacher has
            no weights.

    """
    why = why_labels(recipe.components, zoo)
    if why is not None:
        methods = methods_without_labels(zoo)
        raise KdzooError(
            f"the training images have no labels, and {why}; methods that need none: {', '.join(methods) or 'none'}"
        )
    for role, config in recipe.roles.items():
        if is_trained_here(role, config) and not config.pretrained:
            raise untrained(role, config)


def untrained(role: str, config: RoleConfig) -> KdzooError:
    """The error about a teacher that has no weights, and cannot get any."""
    return KdzooError(
        f"the {role} {config.model} has no weights, and images without labels cannot train it: give it some "
        "(--teacher-checkpoint, --teacher-pretrained, or --teacher local-dir:FOLDER)"
    )


def methods_without_labels(zoo: Zoo) -> list[str]:
    """The installed methods of the registry that need no labels."""
    found = []
    for name, method in load_registry(zoo).methods.items():
        with suppress(KdzooError):  # it is of a plugin that is broken
            if zoo.has(*method.packages) and why_labels(method.components, zoo) is None:
                found.append(name)
    return found


def why_labels(components: Iterable[tuple[ComponentKind, Component]], zoo: Zoo) -> str | None:
    """What makes labels necessary, in words; None if nothing does.

    Without labels there is only what a teacher that is trained already teaches, by knowledge or by an algorithm that
    reads it.
    """
    taught = False
    for kind, component in components:
        found = zoo.find(kind, component.name).component
        taught |= kind == "knowledge" or (kind == "algorithm" and found.reads_teacher)
        if found.needs_labels:
            return f"{kind} {component.name!r} needs them"
        if kind == "scheme" and found.kind != "offline":
            return f"scheme {component.name!r} ({found.kind}) has no teacher that is trained already"
    return None if taught else "without knowledge there is nothing else to learn from"
