"""Logs the leaderboard of a suite to Weights & Biases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdzoo.observers.wandb_client import TrackedRun, disabled
from kdzoo.observers.wandb_run import warn


def log_leaderboard(suite: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], folder: Path) -> None:
    """Log a table, as :func:`log_table` does, and never raise: one that cannot be logged is worth a warning."""
    if disabled():
        return
    try:
        log_table(suite, columns, rows, folder)
    except Exception as error:
        warn(f"the leaderboard is not logged ({error}); log it by: kdzoo wandb {folder}")


def log_table(suite: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], folder: Path) -> str:
    """Log a table in a wandb run of its own: group ``suite``, job type ``leaderboard``, key ``leaderboard``.

    It goes online or offline by the same rules as any run.

    Args:
        suite: the suite's name.
        columns: the names of the columns.
        rows: their cells: text, numbers, None.
        folder: where the run's files go, in ``wandb/``; WANDB_DIR comes first.

    Returns:
        The run's address, or the command that uploads it.

    Raises:
        Lost: wandb failed.

    """
    run = TrackedRun()
    table = {"event": "table", "suite": suite, "columns": list(columns), "rows": [list(row) for row in rows]}
    run.send({**table, "folder": str(folder.absolute())})
    run.wait()
    return run.where
