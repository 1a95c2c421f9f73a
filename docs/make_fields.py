"""Tables of the keys of recipes, registry files and suite files, for ``docs/reference.md``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, WrapValidator
from pydantic.fields import FieldInfo

from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.component import Component, Summand
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.early_stopping import EarlyStoppingConfig
from kdzoo.recipe.ema import EmaConfig
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.optim import OptimConfig, OwnOptimConfig
from kdzoo.recipe.roles import RoleConfig
from kdzoo.registry.model import Method, Pair, Paper, Suite
from kdzoo.registry.published import PublishedFigure, PublishedTable
from kdzoo.registry.tuning import Budget, Range

RECIPE = {
    "A recipe's keys": Recipe,
    "`roles.ROLE`": RoleConfig,
    "`data`": DataConfig,
    "`data.augment`": AugmentConfig,
    "`optim`": OptimConfig,
    "`model_ema`": EmaConfig,
    "`early_stopping`": EarlyStoppingConfig,
}
REGISTRY = {
    "`methods.NAME`": Method,
    "`methods.NAME.paper`": Paper,
    "An item of `methods.NAME.published`": PublishedFigure,
    "`suites.NAME`, and a suite's own file": Suite,
    "A suite's `tune` as a budget": Budget,
    "An item of a suite's `pairs`": Pair,
    "An item of a suite's `published`": PublishedTable,
}

_TABLES = {model: title for title, model in {**RECIPE, **REGISTRY}.items()}

_KINDS: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    Path: "path",
    Any: "anything",
    Component: "a component",
    Summand: "a component",
    RoleConfig: "a role, or its model",
    OwnOptimConfig: "keys of `optim`",
    Range: "`{low: NUMBER, high: NUMBER, log: true or false}`",
}
"""How a user says the type; sections that have a table are called by it."""

_SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def tables(models: Mapping[str, type[BaseModel]]) -> Iterator[str]:
    """A table for each model, below its title."""
    for title, model in models.items():
        yield f"### {title}\n"
        yield "| key | accepts | default | meaning |"
        yield "|---|---|---|---|"
        for name, field in model.model_fields.items():
            meaning = field.description or ""
            cells = (f"`{name}`", _accepts(field.annotation, field.metadata), _default(field), meaning)
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield ""


def _accepts(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """``number > 0, ≤ 1``, ``list of text``, ``a | b``."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [one for more in parts[1:] for one in getattr(more, "metadata", [more])]
        return _accepts(parts[0], [*inner, *metadata])
    if origin in (Union, UnionType):
        return " or ".join(_accepts(part, metadata) for part in parts if part is not NoneType)
    if origin is Literal:
        return " | ".join(f"`{part}`" for part in parts)
    bounds = _bounds(metadata)
    if origin is tuple and Ellipsis in parts:
        kind = f"list of {'one or more: ' if 'min_length' in bounds else ''}{_accepts(parts[0])}"
    elif origin is tuple:
        kind = f"list of {len(parts)}: {_accepts(parts[0])}"
    elif origin is dict:
        kind = f"mapping of names to {_accepts(parts[1])}"
    elif annotation in _KINDS:
        kind = _KINDS[annotation]
    elif annotation in _TABLES:
        kind = f"keys of {_TABLES[annotation]}" if annotation in RECIPE.values() else "keys, see below"
    else:
        raise TypeError(f"{annotation!r} has no words in _KINDS")
    shown = ", ".join(f"{sign} {bounds[name]}" for name, sign in _SIGNS.items() if name in bounds)
    longest = f", at most {bounds['max_length']} characters" if "max_length" in bounds else ""
    words = " or `auto`" if any(isinstance(one, WrapValidator) for one in metadata) else ""
    return f"{kind} {shown}".strip() + longest + words


def _bounds(metadata: Sequence[Any]) -> Mapping[str, Any]:
    """``gt``, ``le``, ``min_length``, ... -> value."""
    return {
        name: value
        for one in metadata
        for name in getattr(one, "__dataclass_fields__", ())
        if (value := getattr(one, name)) is not None
    }


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) and not isinstance(value, Component):
        return "its own defaults"
    return "" if value in (None, "", (), {}) else f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    """As YAML has it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, Component):
        return value.name
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
