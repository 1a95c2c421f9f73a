from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, PositiveFloat

from kdzoo.api import Scheme
from kdzoo.errors import KdzooError
from kdzoo.zoo import Zoo
from kdzoo.zoo.hyperparameters import create, describe, required, schema, validate
from kdzoo.zoo.plugin import Plugin
from kdzoo.zoo.zoo import Found


class Sample(Scheme):
    """A scheme.

    Args:
        heat: how hot it is,
            in degrees.
        mode: which way.
        n: how many.
    """

    name = "sample"
    kind = "self"

    def __init__(
        self,
        heat: PositiveFloat = 4.0,
        mode: Literal["a", "b"] = "a",
        n: Annotated[int, Field(ge=2, le=9)] = 2,
    ) -> None:
        self.heat, self.mode, self.n = heat, mode, n

    def enroll(self, run):
        pass

    def lessons(self, run, batch):
        return []


FOUND = Found("scheme", Sample, Plugin("x", "x", "kdzoo-x", "1", None), "sample")


def test_defaults_are_filled_in_and_text_is_converted():
    assert validate(FOUND, {"heat": "2.5"}) == {"heat": 2.5, "mode": "a", "n": 2}
    assert create(FOUND, {"n": 3}).n == 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"heet": 1}, r"recipe.yaml: unknown hyper-parameter 'heet' of scheme 'sample'; did you mean heat\?"),
        ({"heat": 0}, r"recipe.yaml: scheme.heat \(sample\): .*greater than 0, not 0"),
        ({"heat": "warm"}, r"scheme.heat .*valid number.*not 'warm'"),
        ({"mode": "c"}, r"scheme.mode .*'a' or 'b', not 'c'"),
        ({"n": 10}, r"scheme.n .*less than or equal to 9"),
    ],
)
def test_a_bad_value_names_source_key_and_what_is_allowed(settings, says):
    with pytest.raises(KdzooError, match=says):
        validate(FOUND, settings, "recipe.yaml")


def test_description_has_type_range_default_and_meaning():
    heat, mode, n = describe(Sample)
    assert (heat.type, heat.range, heat.default, heat.meaning) == (
        "float",
        "> 0",
        4.0,
        "how hot it is, in degrees.",
    )
    assert (mode.type, mode.range) == ("choice", "a | b")
    assert (n.type, n.range) == ("int", "≥ 2, ≤ 9")


def test_an_argument_without_a_type_is_refused():
    class Untyped(Sample):
        def __init__(self, heat=1.0):
            pass

    with pytest.raises(KdzooError, match="'heat' has no type"):
        schema(Untyped)


class Shorter(Sample):
    """It passes on what it does not name.

    Args:
        heat: how hot it is here.
        extra: one more.
    """

    def __init__(self, extra: int, n: Annotated[int, Field(ge=2, le=9)] = 5, **settings: Any) -> None:
        super().__init__(n=n, **settings)
        self.extra = extra


class Same(Shorter):
    """It has no constructor of its own."""


class Alone(Sample):
    """It passes nothing on.

    Args:
        only: all that it has.
    """

    def __init__(self, only: int = 1) -> None:
        super().__init__()


@pytest.mark.parametrize("component", [Shorter, Same])
def test_a_class_that_passes_its_settings_on_has_its_parents_too(component):
    found = Found("scheme", component, FOUND.plugin, component.name)
    own = create(found, {"extra": "2", "heat": "2.5"})
    assert (own.extra, own.heat, own.mode, own.n) == (2, 2.5, "a", 5)
    assert [one.name for one in describe(component)] == ["extra", "n", "heat", "mode"]
    assert required(component) == {"extra"}
    with pytest.raises(KdzooError, match=r"scheme.heat .*greater than 0, not 0"):
        validate(found, {"extra": 1, "heat": 0})
    with pytest.raises(KdzooError, match="did you mean heat"):
        validate(found, {"extra": 1, "heet": 1})


def test_an_inherited_argument_has_the_meaning_that_the_nearest_docstring_gives():
    assert {one.name: one.meaning for one in describe(Same)} == {
        "extra": "one more.",
        "n": "how many.",
        "heat": "how hot it is here.",
        "mode": "which way.",
    }


def test_a_class_that_passes_nothing_on_has_its_own_arguments_alone():
    assert [one.name for one in describe(Alone)] == ["only"]


def test_every_hyperparameter_of_every_installed_component_is_documented():
    zoo = Zoo()
    for kind in ("knowledge", "scheme", "algorithm"):
        for several in zoo.components(kind).values():
            for found in several:
                for one in describe(found.component):
                    assert one.meaning, f"{kind} {found.name}: {one.name} is not in the docstring's Args"
