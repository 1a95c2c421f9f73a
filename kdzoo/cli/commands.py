"""The group of the commands: unknown names, and interrupted commands."""

from __future__ import annotations

import signal
from typing import Any

import typer

from kdzoo.cli.first import say_first
from kdzoo.cli.plugin_commands import WithPlugins
from kdzoo.errors import KdzooError, UnknownName
from kdzoo.stopping import Stopped


class Commands(WithPlugins):
    """Refuses unknown and missing commands like every other unknown name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse ``kdzoo`` without a command, after three commands to begin with."""
        if not args and not ctx.resilient_parsing:
            say_first()
            known = ", ".join(self.list_commands(ctx))
            raise KdzooError(f"missing command; known: {known} ({ctx.command_path} --help)")
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Refuse an unknown command, and suggest the nearest one."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            raise UnknownName("command", name, self.list_commands(ctx), f"({ctx.command_path} --help)")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a signal ends it with one line and the exit code of a shell."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            stopped = error if isinstance(error, Stopped) else Stopped(signal.SIGINT)
            typer.echo(f"kdzoo: {stopped}", err=True)
            raise typer.Exit(stopped.exit_code) from None
