"""``kdzoo wandb``: runs that are missing or incomplete in W&B."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdzoo.cli.output import console

if TYPE_CHECKING:
    from kdzoo.bench.results import SuiteResults


def wandb(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Folders of runs, or of suites with all their runs.", metavar="DIR..."),
    ],
) -> None:
    """Log runs to Weights & Biases from their metrics.jsonl: incomplete ones, or those trained without it.

    Each becomes a new wandb run, online or offline by the same rules as while it trains.
    """
    from kdzoo.bench.ledger import SUITE_FILE
    from kdzoo.bench.results import read_results
    from kdzoo.errors import KdzooError
    from kdzoo.observers.wandb_again import rows_to_log
    from kdzoo.observers.wandb_client import Lost, disabled
    from kdzoo.owner import Owner

    if disabled():
        raise KdzooError("WANDB_MODE is 'disabled', so nothing would be logged; set it to offline or online")
    work = []
    for folder in folders:  # refuse all before the first is logged
        suite = read_results(folder) if (folder / SUITE_FILE).exists() else None
        runs = sorted(path.parent for path in folder.rglob("metrics.jsonl")) if suite else [folder]
        for run in runs:
            rows_to_log(run)
        work.append((folder, runs, suite))
    for folder, runs, suite in work:
        with Owner(folder).held():
            try:
                _log(folder, runs, suite)
            except Lost as lost:
                raise KdzooError(f"{folder}: cannot be logged: wandb: {lost}") from None


def _log(folder: Path, runs: Sequence[Path], suite: SuiteResults | None) -> None:
    from kdzoo.bench.table import wandb_columns, wandb_rows
    from kdzoo.errors import KdzooError
    from kdzoo.observers.wandb_again import log_again
    from kdzoo.observers.wandb_table import log_table

    for run in runs:
        if not (where := log_again(run, folder)):
            raise KdzooError(
                "wandb is disabled in its settings file, so nothing is logged: see wandb enabled"
            )
        console().print(f"{run}: {where}", soft_wrap=True, markup=False)
    if suite is not None:
        where = log_table(suite.ledger.suite, wandb_columns(suite.pairs), wandb_rows(suite.pairs), folder)
        console().print(f"{folder}: {where}", soft_wrap=True, markup=False)
