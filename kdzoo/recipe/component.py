"""Components by name, with their hyper-parameters, in weighted sums and lists."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PlainSerializer,
    model_serializer,
    model_validator,
)

from kdzoo.errors import shortened
from kdzoo.recipe.section import Section

OBSERVERS = ("console", "wandb")
"""Those of a recipe that names none."""

ComponentKind = Literal["knowledge", "scheme", "algorithm"]


class Component(Section):
    """A Knowledge, Scheme or Algorithm by name, with its hyper-parameters: ``{name: kd, temperature: 4}``."""

    name: str = Field(description="the name under which a plugin provides it")
    settings: dict[str, Any] = Field(default_factory=dict, description="its hyper-parameters")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict):
            own = {key: item for key, item in value.items() if key in cls.model_fields and key != "settings"}
            rest = {key: item for key, item in value.items() if key not in cls.model_fields}
            return {**own, "settings": {**_settings(value), **rest}}
        return value

    @model_serializer
    def _dump(self) -> dict[str, Any]:
        return {"name": self.name, **self.settings}


def _settings(component: dict[str, Any]) -> dict[str, Any]:
    found = component.get("settings", {})
    if not isinstance(found, dict):
        raise ValueError(f"settings: expected keys with values, not {shortened(found)}")
    return found


class Summand(Component):
    """A Knowledge in a sum: ``{name: kd, weight: 0.9, temperature: 4}``.

    In a list ``weight`` is that of the sum; a hyper-parameter of this name goes under ``settings``.
    """

    weight: NonNegativeFloat = Field(1.0, description="weight of its loss in the sum")

    @model_serializer
    def _dump(self) -> dict[str, Any]:
        if "weight" in self.settings:
            return {"name": self.name, "weight": self.weight, "settings": dict(self.settings)}
        return {"name": self.name, "weight": self.weight, **self.settings}


def _summands(value: Any) -> Any:
    """A name, or a component with its hyper-parameters, is a sum of one."""
    if value is None:
        return ()
    if isinstance(value, str | Component):
        value = {"name": value} if isinstance(value, str) else value.model_dump()
    if isinstance(value, dict):
        if value.get("name") is None:
            raise ValueError(f"settings without the name of a component: {shortened(value)}")
        settings = {key: item for key, item in value.items() if key not in ("name", "settings")}
        return ({"name": value.get("name"), "settings": {**_settings(value), **settings}},)
    return value


Named = TypeVar("Named", bound=Component)


def _named_once(components: tuple[Named, ...]) -> tuple[Named, ...]:
    names = [one.name for one in components]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names {shortened(twice[0])} twice")
    return components


def _shortest(summands: tuple[Summand, ...]) -> Any:
    """None, a component alone, or a list with weights."""
    if not summands:
        return None
    if len(summands) == 1 and summands[0].weight == 1:
        return {"name": summands[0].name, **summands[0].settings}
    return [one.model_dump(mode="json") for one in summands]


Knowledges = Annotated[
    tuple[Summand, ...],
    BeforeValidator(_summands),
    AfterValidator(_named_once),
    PlainSerializer(_shortest),
]
"""What is taught: nothing, one Knowledge, or several whose weighted losses are added."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | dict | Component) else value


def _names(observers: tuple[Component, ...]) -> list[Any]:
    """Each as a name, or with its settings."""
    return [{"name": one.name, **one.settings} if one.settings else one.name for one in observers]


Observers = Annotated[
    tuple[Component, ...],
    BeforeValidator(_listed),
    AfterValidator(_named_once),
    PlainSerializer(_names),
]
"""``[console, {name: tensorboard, every: 10}]``."""
