"""``kdzoo new NAME``: the package of a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[str, typer.Argument(help="Name of the component and its method, such as cosine.")],
    kind: Annotated[
        str, typer.Option(help="knowledge (what is taught), scheme (who teaches), algorithm (how), observer.")
    ] = "knowledge",
    output: Annotated[Path, typer.Option(help="Parent of the new folder.")] = Path(),
) -> None:
    """Write an installable plugin package with one working component, its card and its tests."""
    from kdzoo.scaffold.names import names_of, refuse_taken
    from kdzoo.scaffold.write import write_package

    names = names_of(name)
    refuse_taken(names, kind)
    written = write_package(names, kind, output)
    folder = output / names.distribution
    for path in written:
        typer.echo(path)
    typer.echo(f"\nnext: pip install -e {folder}\nthen: kdzoo check {names.name}")
