"""``kdzoo install`` and ``kdzoo uninstall``: from names of methods to packages, then pip or uv."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from kdzoo.errors import KdzooError
from kdzoo.registry.load import load_registry
from kdzoo.zoo import Zoo

Names = Annotated[list[str], typer.Argument(help="Methods of the registry, or packages.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_CORE = "kdzoo"


def install(names: Names, yes: Yes = False) -> None:
    """Install the packages that provide these methods. Installing a package runs its code; there is no sandbox."""
    _run(_installer("install"), packages(names), yes=yes, warning="Installing a package runs its code.")


def uninstall(names: Names, yes: Yes = False) -> None:
    """Uninstall packages, or those that provide these methods."""
    found = packages(names)
    if _CORE in found:
        raise KdzooError("this command does not uninstall kdzoo itself: use pip uninstall kdzoo")
    _run(_installer("uninstall"), found, yes=yes)


def packages(names: Sequence[str]) -> list[str]:
    """The argument for pip: a method's package, or the given name (or path, or URL).

    Raises:
        KdzooError: a name begins with a dash, and would be an option.
    """
    methods = load_registry(Zoo()).methods
    found: list[str] = []
    for name in names:
        if name.startswith("-"):
            raise KdzooError(f"{name!r} is not the name of a package; options go to pip itself")
        found.extend(methods[name].packages if name in methods else [name])
    return list(dict.fromkeys(found))


def _installer(verb: str) -> list[str]:
    """Pip of this interpreter, or uv if there is no pip.

    Raises:
        KdzooError: there is neither.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", verb, *(["--yes"] if verb == "uninstall" else [])]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", verb, "--python", sys.executable]
    raise KdzooError(f"neither pip nor uv is available for {sys.executable}")


def _run(command: Sequence[str], names: Sequence[str], *, yes: bool, warning: str = "") -> None:
    line = shlex.join([*command, *names])
    typer.echo(f"This will run: {line}")
    if warning:
        typer.echo(warning)
    if not yes and not typer.confirm("Go on?"):
        raise typer.Exit(1)
    code = subprocess.run([*command, *names], check=False).returncode
    if code:
        raise KdzooError(f"exit code {code} from: {line}")
