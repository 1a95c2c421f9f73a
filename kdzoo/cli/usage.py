"""Usage errors in one line: ``no such option --epoch; did you mean --epochs?``."""

from __future__ import annotations

from typing import Any

import typer
from pydantic import ValidationError

from kdzoo.errors import Fault, shortened

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""The base of the parser's errors. Typer exports only this subclass, and its newer versions bundle a click
of their own, where ``click.UsageError`` is another class."""


def usage_line(error: Exception) -> str:
    """The line for an error of the parser, with the command for its help."""
    context = getattr(error, "ctx", None)
    hint = f" ({context.command_path} --help)" if context is not None else ""
    return " ".join(f"{_what(error)}{hint}".split())


def _what(error: Exception) -> str:
    match type(error).__name__:
        case "NoSuchOption":
            return _unknown_option(error)
        case "MissingParameter":
            return f"missing {_parameter(error)}"
        case "BadParameter":
            return f"{_parameter(error)}: {_reason(error)}"
    return _as_clause(str(getattr(error, "message", error)))


def _unknown_option(error: Any) -> str:
    nearest = f"; did you mean {error.possibilities[0]}?" if error.possibilities else ""
    return f"no such option {error.option_name}{nearest}"


def _parameter(error: Any) -> str:
    """``--epochs``, or ``argument METHOD``."""
    parameter = error.param
    if parameter is None:
        return error.param_hint or "value"
    if parameter.param_type_name == "option":
        return str(parameter.opts[0])
    return f"argument {(parameter.metavar or parameter.name).upper()}"


def _reason(error: Any) -> str:
    if isinstance(error.__cause__, ValidationError):  # worded as errors of the recipe
        fault = Fault.first(error.__cause__)
        if fault.code == "value_error":  # typer's own, of a choice: it names the value
            return _as_clause(fault.message)
        return f"{fault.message}, not {shortened(fault.given)}"
    return shortened(_as_clause(error.message), quoted=False, most=300)


def _as_clause(sentence: str) -> str:
    """``Missing command.`` -> ``missing command``."""
    return f"{sentence[:1].lower()}{sentence[1:]}".rstrip(".")
