"""``kdzoo NAME`` for commands of plugins: a plugin's module is imported when its command is called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from kdzoo.errors import KdzooError
from kdzoo.zoo import Zoo
from kdzoo.zoo.commands import find_commands
from kdzoo.zoo.plugin import STRICT, first_line, strict
from kdzoo.zoo.zoo import Found

PARSER_ERROR: type[Exception] = typer.BadParameter.__mro__[2]
"""The base of the parser's errors, which has no name in Typer."""


class WithPlugins(TyperGroup):
    """The core's commands, then those of plugins, which are loaded if the core has no such command."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The core's in their order, then those of plugins by name."""
        return [*super().list_commands(ctx), *self._of_plugins]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The core's command of that name, else a plugin's; None if there is none."""
        return super().get_command(ctx, cmd_name) or self._of_plugins.get(cmd_name)

    @functools.cached_property
    def _of_plugins(self) -> dict[str, PluginCommand]:
        return {name: PluginCommand(one) for name, one in find_commands(Zoo(), self.commands).items()}


class PluginCommand(TyperCommand):
    """A command that is imported when it is called, also with ``--help``, but not to list the commands."""

    def __init__(self, command: Found) -> None:
        super().__init__(command.name, short_help=f"(from {command.plugin.distribution})")
        self._command = command

    def make_context(self, *arguments: Any, **keywords: Any) -> Any:
        """The context of the command itself."""
        return self._real().make_context(*arguments, **keywords)

    def _real(self) -> Any:
        """The command that Typer makes from the plugin's function.

        Raises:
            KdzooError: the function cannot be imported, or Typer cannot make a command of it.

        """
        function = _reported(self._command)
        app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
        app.command(self.name)(function)
        try:
            return typer.main.get_command(app)
        except Exception as error:  # an argument without a type that Typer knows
            if strict():
                raise
            raise self._command.refusal(f"{self._command.declared}: {first_line(error)}") from error


def _reported(command: Found) -> Callable[..., Any]:
    """The function, with its exceptions as one line that names the plugin."""
    function: Callable[..., Any] = command.component

    @functools.wraps(function)
    def run(*arguments: Any, **keywords: Any) -> Any:
        try:
            return function(*arguments, **keywords)
        except Exception as error:
            if strict() or isinstance(error, KdzooError | typer.Exit | typer.Abort | PARSER_ERROR):
                raise
            raise KdzooError(
                f"command {command.name!r} of {command.plugin.source} failed: {first_line(error)} "
                f"({STRICT}=1 shows where)"
            ) from error

    return run
