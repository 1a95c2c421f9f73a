"""A component's hyper-parameters: the schema is derived from the signature of its ``__init__`` and its parents'."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from kdzoo.errors import Fault, KdzooError, UnknownName, shortened
from kdzoo.zoo.zoo import Found


@dataclass(frozen=True)
class HyperParameter:
    """One hyper-parameter, as ``kdzoo show`` prints it."""

    name: str
    type: str
    range: str
    default: Any
    meaning: str


@functools.cache  # making a pydantic model takes milliseconds, and each recipe is validated several times
def schema(component: type[Any]) -> type[BaseModel]:
    """The pydantic model of a component's keyword arguments, and of its parents' that it passes on.

    A class whose ``__init__`` takes ``**settings`` has the arguments of the next ``__init__`` among its parents too;
    one that it names itself, such as for another default, is its own.

    Raises:
        KdzooError: an argument has no type, or is positional only.
    """
    fields: dict[str, Any] = {}
    for owner in _constructors(component):
        hints = get_type_hints(owner.__init__, include_extras=True)
        for name, parameter in list(inspect.signature(owner.__init__).parameters.items())[1:]:
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or name in fields:
                continue
            if name not in hints:
                raise KdzooError(f"{owner.__name__}.__init__: the hyper-parameter {name!r} has no type")
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[name] = (hints[name], default)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())
    return create_model(component.__name__, __config__=config, **fields)


def _constructors(component: type[Any]) -> Iterator[type[Any]]:
    """The classes whose ``__init__`` takes part, each of which but the last passes arguments on."""
    for owner in component.__mro__:
        own = vars(owner).get("__init__")
        if inspect.isfunction(own):
            yield owner
            if all(one.kind != one.VAR_KEYWORD for one in inspect.signature(own).parameters.values()):
                return


def validate(found: Found, settings: Mapping[str, Any], source: str = "", at: str = "") -> dict[str, Any]:
    """Every hyper-parameter with its validated value, defaults filled in.

    Args:
        found: the component.
        settings: what the recipe says.
        source: where it says so, named in errors.
        at: the recipe's key of the component, default: its kind.

    Raises:
        KdzooError: an unknown or bad value; names the source, the key and what is allowed.
    """
    model = schema(found.component)
    prefix = f"{source}: " if source else ""
    for key in settings:
        if key not in model.model_fields:
            of = f"{found.kind} {found.name!r}"
            raise KdzooError(prefix + str(UnknownName("hyper-parameter", key, model.model_fields, of=of)))
    try:
        checked = model.model_validate(dict(settings))
    except ValidationError as error:
        fault = Fault.first(error)
        key = ".".join((at or found.kind, *fault.loc))
        if fault.code == "missing":
            raise KdzooError(f"{prefix}{key} ({found.name}) has no default: pass --set {key}=VALUE") from None
        given = f", not {shortened(fault.given)}"
        raise KdzooError(f"{prefix}{key} ({found.name}): {fault.message}{given}") from None
    return {name: getattr(checked, name) for name in model.model_fields}


def create(found: Found, settings: Mapping[str, Any]) -> Any:
    """An instance of the component with validated settings."""
    return found.component(**validate(found, settings))


def required(component: type[Any]) -> set[str]:
    """The hyper-parameters that have no default."""
    model = schema(component)  # type: ignore[arg-type]  # mypy takes a class's __hash__ for that of its instances
    return {name for name, field in model.model_fields.items() if field.is_required()}


def describe(component: type[Any]) -> list[HyperParameter]:
    """The hyper-parameters with type, range, default and the meaning that the docstring gives, or a parent's."""
    model = schema(component)  # type: ignore[arg-type]  # as above
    meanings: dict[str, str] = {}
    for owner in reversed(component.__mro__):
        meanings |= _docstring_args(owner)
    return [
        HyperParameter(
            name,
            _type_name(field.annotation),
            limits(field.annotation, field.metadata),
            None if field.is_required() else field.default,
            meanings.get(name, ""),
        )
        for name, field in model.model_fields.items()
    ]


_SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "min_length": "length ≥", "max_length": "length ≤"}


def limits(annotation: Any, metadata: Sequence[Any]) -> str:
    """Choices, or the bounds that annotated-types constraints such as ``Gt(gt=0)`` set."""
    if get_origin(annotation) is Literal:
        return " | ".join(map(str, get_args(annotation)))
    bounds = (
        f"{_SIGNS[name]} {getattr(constraint, name)}"
        for constraint in metadata
        for name in getattr(constraint, "__dataclass_fields__", ())
        if name in _SIGNS and getattr(constraint, name) is not None
    )
    inner = (
        limits(part, getattr(part, "__metadata__", ()))
        for part in get_args(annotation)
        if get_origin(annotation) in (Union, UnionType)
    )
    return ", ".join(filter(None, (*bounds, *inner)))


def _type_name(annotation: Any) -> str:
    """As a user would say it: ``float``, ``choice``, ``list of int or none``."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "choice"
    if origin is Annotated:
        return _type_name(parts[0])
    if origin in (Union, UnionType):
        return " or ".join(_type_name(part) for part in parts)
    if origin in (tuple, list):
        return f"list of {_type_name(parts[0])}"
    if annotation is NoneType:
        return "none"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _docstring_args(owner: type[Any]) -> dict[str, str]:
    """What the class's own docstrings say of its arguments."""
    own = vars(owner).get("__doc__"), getattr(vars(owner).get("__init__"), "__doc__", None)
    text = inspect.cleandoc("\n".join(filter(None, own)))
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", text, re.MULTILINE)
    found: dict[str, str] = {}
    name = ""
    for line in section.group(1).splitlines() if section else ():
        start = re.match(r" {4}(\w+)(?: \(.*?\))?: (.*)", line)
        if start:
            name, found[start.group(1)] = start.group(1), start.group(2)
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found
