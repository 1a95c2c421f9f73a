"""The components that a recipe names, ready to run."""

from __future__ import annotations

from functools import partial

from kdzoo.api.algorithm import Algorithm
from kdzoo.api.scheme import Scheme
from kdzoo.backbone.registered import provider
from kdzoo.engine.lessons import Part
from kdzoo.recipe.model import Recipe
from kdzoo.zoo import Zoo
from kdzoo.zoo.hyperparameters import create
from kdzoo.zoo.zoo import Found


def components_of(recipe: Recipe, zoo: Zoo) -> list[Found]:
    """Every component that the recipe names, and every network that a plugin brings, with its plugin."""
    components = [zoo.find(kind, component.name) for kind, component in recipe.components]
    models = dict.fromkeys(role.model for role in recipe.roles.values())
    brought = ((model, provider(model, zoo)) for model in models)
    return [*components, *(Found("backbone", model, plugin, model) for model, plugin in brought if plugin)]


def reads_logits(recipe: Recipe, zoo: Zoo) -> bool:
    """Whether one of the recipe's components reads a teacher's logits for the data's classes."""
    for kind, component in recipe.components:
        found = zoo.find(kind, component.name).component
        says: bool | None = found.reads_logits
        if found.kind == "response" if says is None else says:
            return True
    return False


def algorithm_of(recipe: Recipe, zoo: Zoo) -> Algorithm:
    """The recipe's algorithm."""
    made: Algorithm = create(zoo.find("algorithm", recipe.algorithm.name), recipe.algorithm.settings)
    return made


def scheme_of(recipe: Recipe, zoo: Zoo) -> Scheme:
    """The recipe's scheme, before any enrolment."""
    made: Scheme = create(zoo.find("scheme", recipe.scheme.name), recipe.scheme.settings)
    return made


def knowledge_of(recipe: Recipe, zoo: Zoo) -> list[Part]:
    """The recipe's knowledges, to be built once for each arrow."""
    return [
        Part(part.name, part.weight, partial(create, zoo.find("knowledge", part.name), part.settings))
        for part in recipe.knowledge
    ]
