"""The command line. Each command is in a file of its own; torch is imported only by commands that need it."""

from __future__ import annotations

import errno
import sys
from typing import Annotated, NoReturn

import typer

from kdzoo.cli.bench import bench
from kdzoo.cli.cache import cache
from kdzoo.cli.check import check
from kdzoo.cli.commands import Commands
from kdzoo.cli.compare import compare
from kdzoo.cli.distill import distill
from kdzoo.cli.evaluate import evaluate
from kdzoo.cli.export import export
from kdzoo.cli.install import install, uninstall
from kdzoo.cli.keys import TakesKeys
from kdzoo.cli.listing import list_methods
from kdzoo.cli.new import new
from kdzoo.cli.plugins import plugins
from kdzoo.cli.predict import predict
from kdzoo.cli.probe import probe
from kdzoo.cli.reinforce import reinforce
from kdzoo.cli.report import report
from kdzoo.cli.reproduce import reproduce
from kdzoo.cli.show import show
from kdzoo.cli.sweep import sweep
from kdzoo.cli.usage import UsageError, usage_line
from kdzoo.cli.wandb import wandb
from kdzoo.errors import KdzooError, shortened
from kdzoo.processes import rank
from kdzoo.version import __version__

app = typer.Typer(
    name="kdzoo",
    cls=Commands,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"kdzoo {__version__}")
        raise typer.Exit


@app.callback()
def kdzoo(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Distil a large timm network into a small one, and compare the methods under one protocol."""


app.command("list")(list_methods)
app.command()(show)
app.command(cls=TakesKeys)(distill)
app.command(cls=TakesKeys)(bench)
app.command(cls=TakesKeys)(probe)
app.command(cls=TakesKeys)(reinforce)
app.command(cls=TakesKeys)(reproduce)
app.command()(export)
app.command()(predict)
app.command()(evaluate)
app.command()(compare)
app.command()(report)
app.command()(wandb)
app.add_typer(sweep, name="sweep")
app.add_typer(cache, name="cache")
app.command()(new)
app.command()(plugins)
app.command(cls=TakesKeys)(check)
app.command()(install)
app.command()(uninstall)


def main() -> None:
    """Run a command; bad input gives one line on standard error and exit code 2."""
    try:
        code = app(prog_name="kdzoo", standalone_mode=False)
    except UsageError as error:
        _refuse(usage_line(error))
    except KdzooError as error:
        _refuse(" ".join(str(error).split()))
    except OSError as error:
        if (
            error.errno != errno.ENAMETOOLONG
        ):  # from any given path: pathlib raises when it checks for existence
            raise
        _refuse(f"{shortened(error.filename, quoted=False)}: {error.strerror}")
    except typer.Abort:
        typer.echo("kdzoo: aborted", err=True)
        sys.exit(1)
    sys.exit(code)


def _refuse(line: str) -> NoReturn:
    shown = "".join(
        letter if letter.isprintable() else "?" for letter in line
    )  # a file's name may contain control characters
    number = rank()
    typer.echo(f"kdzoo: {f'process {number}: ' if number else ''}{shown}", err=True)
    sys.exit(2)
