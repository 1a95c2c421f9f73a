"""``kdzoo report``: the results of a suite or a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdzoo.cli.output import console


def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a suite or of a run.", metavar="DIR")],
) -> None:
    """Write report.html, one file that needs no network, and report.md into the folder."""
    from kdzoo.bench.report import write_report

    console().print(str(write_report(folder)), soft_wrap=True, markup=False)
