"""Options of a command from the fields of the recipe, which have type, meaning, bounds and default."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import WrapValidator
from pydantic.fields import FieldInfo

from kdzoo.cli.flags import Flag, layer
from kdzoo.recipe.model import Recipe
from kdzoo.zoo.hyperparameters import limits

Command = Callable[..., None]


def recipe_flags(flags: Iterable[Flag], *, default: str | None = None) -> Callable[[Command], Command]:
    """Put options for ``flags`` in place of the command's argument ``layers``, which gets the given values.

    The argument is a list of layers, one for each flag that the user typed. The command's arguments are keywords.

    Args:
        flags: what to offer.
        default: what the help calls every default; None for those of the recipe's fields.
    """
    flags = tuple(flags)

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in own.parameters.values():
            parameters += (
                [_option(flag, default) for flag in flags] if parameter.name == "layers" else [parameter]
            )

        @functools.wraps(command)
        def parsed(**given: Any) -> None:
            values = {flag.name: flag.value(given.pop(flag.name)) for flag in flags}
            command(layers=layer(**values), **given)

        # Typer makes the options from it.
        parsed.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # functions may have it
        return parsed

    return decorate


def field_of(key: str) -> FieldInfo:
    """The field of the recipe that a dotted key sets: ``optim.lr``, ``roles.student.model``."""
    model: Any = Recipe
    *above, last = key.split(".")
    parts = iter(above)
    for part in parts:
        model = _given(model.model_fields[part].annotation)
        if get_origin(model) is dict:
            next(parts)  # the name of a role
            model = get_args(model)[1]
    found: FieldInfo = model.model_fields[last]
    return found


def help_of(flag: Flag, default: str | None = None) -> str:
    """``Peak learning rate (optim.lr > 0, default 0.002).``: meaning, key, accepted values, default."""
    field = field_of(flag.key)
    meaning = field.description or ""
    facts = [f"{flag.key} {_accepted(flag, field)}".rstrip()]
    usual = default if default is not None else field.get_default()
    if default is None and flag.key.startswith("data.augment."):
        usual = "what suits the data"
    if not field.is_required() and usual is not None and usual is not False and usual != ():
        facts.append(f"default {'on' if usual is True else usual}")
    more = " May be repeated." if flag.repeated else ""
    return f"{meaning[:1].upper()}{meaning[1:]} ({', '.join(facts)}).{more}"


def _accepted(flag: Flag, field: FieldInfo) -> str:
    if flag.sets is not None:
        return f"= {flag.sets}"
    accepted = limits(field.annotation, field.metadata)
    return f"= {accepted}" if get_origin(field.annotation) is Literal else accepted


def _option(flag: Flag, default: str | None) -> inspect.Parameter:
    field = field_of(flag.key)
    kind: Any = bool if flag.sets is not None else _parsed(field.annotation)
    takes_words = any(isinstance(one, WrapValidator) for one in field.metadata)
    option = typer.Option(
        *flag.typed,
        help=help_of(flag, default),
        rich_help_panel=flag.panel,
        show_default=False,
        parser=_number_or_word if takes_words else None,
        metavar="INTEGER|auto" if takes_words else None,
    )
    wanted: Any = list[kind] if flag.repeated else kind
    annotation = Annotated[wanted | None, option]
    return inspect.Parameter(flag.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _number_or_word(text: str) -> int | str:
    """What the recipe checks: a whole number, or a word such as auto."""
    try:
        return int(text)
    except ValueError:
        return text


def _given(annotation: Any) -> Any:
    """The annotation of a value that is there, of one that may be None."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not NoneType)
    return annotation


def _parsed(annotation: Any) -> Any:
    """The parser's type; the recipe checks the rest, so that files and flags give the same errors."""
    annotation = _given(annotation)
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is tuple and Ellipsis not in get_args(annotation):
        return tuple[tuple(_parsed(part) for part in get_args(annotation))]  # type: ignore[misc]  # built at run time
    return annotation if annotation in (bool, int, float, Path) else str
