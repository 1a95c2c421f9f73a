"""The components that a recipe names, ready to run."""

from __future__ import annotations

from functools import partial

from kdzoo.api.algorithm import Algorithm
from kdzoo.api.scheme import Scheme
from kdzoo.engine.classroom import Classroom
from kdzoo.recipe.model import Recipe
from kdzoo.zoo import Zoo
from kdzoo.zoo.hyperparameters import create


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
