"""``kdzoo wandb``: runs that are missing or incomplete in W&B."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdzoo.cli.output import console

if TYPE_CHECKING:
    from kdzoo.bench.results import SuiteResults


SYNC = "sync"
_AT_ONCE = 500
"""Folders that one command line names."""


def wandb(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of runs, or of suites with all their runs; the word sync before them uploads what is "
            "offline.",
            metavar="[sync] DIR...",
        ),
    ],
) -> None:
    """Log runs to Weights & Biases from their metrics.jsonl: incomplete ones, or those trained without it.

    Each becomes a new wandb run, online or offline by the same rules as while it trains. kdzoo wandb sync DIR uploads
    the offline runs in a folder, those of a whole suite in one command.
    """
    from kdzoo.bench.ledger import SUITE_FILE
    from kdzoo.bench.results import read_results
    from kdzoo.errors import KdzooError
    from kdzoo.observers.wandb_again import rows_to_log
    from kdzoo.observers.wandb_client import Lost, disabled
    from kdzoo.owner import Owner

    if folders[0] == Path(SYNC):
        sync(folders[1:])
        return
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


def sync(folders: Sequence[Path]) -> None:
    """Upload the offline runs below these folders, by ``wandb sync``; those that are still in training later.

    Raises:
        KdzooError: there is none, or wandb could not upload all of them.
    """
    from kdzoo.errors import KdzooError

    if not folders:
        raise KdzooError("kdzoo wandb sync: missing the folder of a run or a suite")
    for folder in folders:
        if not folder.is_dir():
            raise KdzooError(f"{folder}: no such folder")
    waiting = [path for folder in folders for path in offline_runs(folder)]
    if not waiting:
        raise KdzooError(f"{', '.join(map(str, folders))}: no offline run of wandb in it")
    training = {run for folder in folders for run in in_training(folder)}
    found = [path for path in waiting if path.name.rpartition("-")[2] not in training]
    left = len(waiting) - len(found)
    failed = False
    for start in range(0, len(found), _AT_ONCE):
        paths = map(str, found[start : start + _AT_ONCE])
        failed |= bool(
            subprocess.run([sys.executable, "-m", "wandb", "sync", *paths], check=False).returncode
        )
    if failed:
        raise KdzooError("wandb sync did not upload all runs; see its lines above, and wandb login")
    later = f", {left} still in training: sync again when they have ended" if left else ""
    console().print(
        f"{len(found)} run{'s' * (len(found) != 1)} uploaded{later}", markup=False, soft_wrap=True
    )


def offline_runs(folder: Path) -> list[Path]:
    """The offline runs of wandb below a folder that are not uploaded yet, in the order in which they began."""
    found = [path for path in folder.rglob("offline-run-*") if path.parent.name == "wandb" and path.is_dir()]
    waiting = [path for path in found if not any(path.glob("*.wandb.synced"))]
    return sorted(waiting, key=lambda path: path.name)


def in_training(folder: Path) -> set[str]:
    """The ids of the wandb runs whose run below a folder has an owner: wandb would take them for whole."""
    from kdzoo.observers.wandb_logged import RUN_ID
    from kdzoo.owner import Owner

    found = set()
    for kept in folder.rglob(RUN_ID):
        owner = Owner(kept.parent)
        if not owner.await_turn(lambda line: None, seconds=0.0):
            found.add(kept.read_text(encoding="utf-8").strip())
        owner.release()
    return found
