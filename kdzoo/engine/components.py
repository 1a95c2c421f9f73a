"""The components that a recipe names, ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from kdzoo.api.algorithm import Algorithm
from kdzoo.api.scheme import Scheme
from kdzoo.engine.classroom import Classroom
from kdzoo.recipe.model import Recipe
from kdzoo.zoo import Zoo
from kdzoo.zoo.hyperparameters import create
from kdzoo.zoo.zoo import KINDS, Found


def components_of(recipe: Recipe, zoo: Zoo) -> list[Found]:
    """Every component that the recipe names, as it is found."""
    return [
        zoo.find(kind, component.name)
        for kind in KINDS
        for component in _listed(getattr(recipe, kind))
        if component is not None
    ]


def algorithm_of(recipe: Recipe, zoo: Zoo) -> Algorithm:
    """The recipe's algorithm."""
    made: Algorithm = create(zoo.find("algorithm", recipe.algorithm.name), recipe.algorithm.settings)
    return made


def scheme_of(recipe: Recipe, zoo: Zoo) -> Scheme:
    """The recipe's scheme, nobody enrolled yet."""
    made: Scheme = create(zoo.find("scheme", recipe.scheme.name), recipe.scheme.settings)
    return made


def classroom_of(recipe: Recipe, zoo: Zoo) -> Classroom:
    """A classroom in which the recipe's knowledge is taught, if it has one."""
    if recipe.knowledge is None:
        return Classroom(None)
    found = zoo.find("knowledge", recipe.knowledge.name)
    return Classroom(partial(create, found, recipe.knowledge.settings))


def _listed(named: Any) -> Sequence[Any]:
    return named if isinstance(named, list | tuple) else [named]
