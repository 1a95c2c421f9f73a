"""What there is to tune in a recipe: its learning rate, and what its components' hyper-parameters declare."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from kdzoo.api.tune import Tune
from kdzoo.errors import KdzooError
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.writing import dump
from kdzoo.registry.tuning import Range
from kdzoo.zoo import Zoo
from kdzoo.zoo.hyperparameters import schema

_REACH = Tune(around=10.0)
"""The learning rate, and the weights of a sum of knowledges: a decade on each side."""

_INSET = 0.01
"""Part of a range by which it stays away from an end that is excluded."""

_DIGITS = 4

_FACTOR = re.compile(r"x(\d+\.?\d*|\.\d+)")


@dataclass(frozen=True)
class Dimension:
    """A key of the recipe with the range to search.

    Attributes:
        key: dotted.
        own: the method's own value, within the range.
        low, high: both ends are included.
        log: whether values are drawn evenly over the logarithm.
        whole: whether only whole numbers are.
    """

    key: str
    own: float
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def rounded(self, value: float) -> float:
        """The value with four significant digits, for people to read; the own value as it is."""
        if self.whole or value == self.own:
            return value
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)


def space_of(recipe: Recipe, zoo: Zoo, ranges: Mapping[str, Range | None]) -> tuple[Dimension, ...]:
    """The dimensions of a method's search; none if nothing is left to search.

    Args:
        recipe: the method's own recipe, whose values are the first trial.
        zoo: where components are found.
        ranges: dotted key -> a range that takes the place of the declared one, or None to leave the key out.

    Raises:
        KdzooError: a range is given for what is no number.
    """
    found = {one.key: one for one in _declared(recipe, zoo)}
    for key, given in ranges.items():
        found.pop(key, None)
        if given is not None:
            own = number_at(recipe, key)
            if own is None:
                raise KdzooError(f"tune.space: {key} is no number in the recipe of {recipe.method!r}")
            whole = isinstance(own, int) and given.low.is_integer() and given.high.is_integer()
            found[key] = _widened(key, own, given.low, given.high, given.log, whole)
    return tuple(found.values())


def number_at(recipe: Recipe, key: str) -> float | None:
    """The number at a dotted key of the recipe; None if there is something else, or nothing."""
    own: Any = dump(recipe)
    for part in key.split("."):
        if isinstance(own, list):  # in a sum of knowledges, the one with this name
            own = next((one for one in own if isinstance(one, dict) and one.get("name") == part), None)
        else:
            own = own.get(part) if isinstance(own, dict) else None
    return None if isinstance(own, bool) or not isinstance(own, int | float) else own


def _declared(recipe: Recipe, zoo: Zoo) -> Iterator[Dimension]:
    rate = "lr" if recipe.optim.lr_base is None else "lr_base"
    yield from _dimension(f"optim.{rate}", getattr(recipe.optim, rate), _REACH, {}, whole=False)
    several = len(recipe.knowledge) > 1
    for one in recipe.knowledge if several else ():
        yield from _dimension(f"knowledge.{one.name}.weight", one.weight, _REACH, {}, whole=False)
    for kind, component in recipe.components:
        at = f"{kind}.{component.name}" if kind == "knowledge" and several else kind
        for name, field in schema(zoo.find(kind, component.name).component).model_fields.items():
            search = next((one for one in field.metadata if isinstance(one, Tune)), Tune())
            if search.fixed or (search.taught and not recipe.knowledge):
                continue
            own = component.settings[name]
            if isinstance(own, int | float) and not isinstance(own, bool):
                whole = field.annotation is int
                yield from _dimension(f"{at}.{name}", own, search, _bounds(field), whole=whole)


def _bounds(field: FieldInfo) -> dict[str, float]:
    """The bounds of the type by annotated-types' names: ``{"gt": 0}`` for ``PositiveFloat``."""
    return {
        name: float(bound)
        for constraint in field.metadata
        for name in ("gt", "ge", "lt", "le")
        if (bound := getattr(constraint, name, None)) is not None
    }


def _dimension(
    key: str, own: float, search: Tune, bounds: Mapping[str, float], *, whole: bool
) -> Iterator[Dimension]:
    """The dimension of a number; nothing if no range is known."""
    least, most = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    low, high, log = search.low, search.high, search.log
    if search.around is not None:
        if own <= 0:
            return
        low, high, log = own / search.around, own * search.around, True
        low = low if least is None else max(low, least)
        high = high if most is None else min(high, most)
    low, high = least if low is None else low, most if high is None else high
    if low is None or high is None:
        return
    inset = 1.0 if whole else _INSET * (high - low)
    low += inset if low == bounds.get("gt") else 0
    high -= inset if high == bounds.get("lt") else 0
    yield _widened(key, own, low, high, log, whole)


def _widened(key: str, own: float, low: float, high: float, log: bool, whole: bool) -> Dimension:
    low, high = min(low, own), max(high, own)
    if log and low <= 0:
        raise KdzooError(f"{key}: a search over the logarithm needs a range above 0, not from {low:g}")
    if whole:
        low, high = math.ceil(low), math.floor(high)
    return Dimension(key, own, low, high, log, whole)


def scaled(key: str, value: Any, recipe: Recipe) -> Any:
    """Replace ``"x0.3"`` by 0.3 times the value of the method's recipe at ``key``; keep other values."""
    factor = _FACTOR.fullmatch(value) if isinstance(value, str) else None
    if factor is None:
        return value
    own = number_at(recipe, key)
    if own is None:
        raise KdzooError(
            f"tune: {key} {value!r} is a factor on a number, and method {recipe.method!r} has none there; "
            "name the method's candidates in the suite's tune"
        )
    return own * float(factor[1])
