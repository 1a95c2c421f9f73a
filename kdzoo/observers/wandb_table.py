"""Logs the leaderboard of a suite to Weights & Biases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdzoo.observers.wandb_run import close_run, open_run, warn


def log_leaderboard(suite: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], folder: Path) -> None:
    """Log a table in a wandb run of its own: group ``suite``, job type ``leaderboard``, key ``leaderboard``.

    It goes online or offline by the same rules as any run, and never raises: a leaderboard that cannot be logged
    is worth a warning.

    Args:
        suite: the suite's name.
        columns: the names of the columns.
        rows: their cells: text, numbers, None.
        folder: where the run's files go, in ``wandb/``; WANDB_DIR comes first.
    """
    try:
        import wandb

        run = open_run(folder, name=f"{suite} leaderboard", group=suite, job_type="leaderboard", tags=[suite])
        try:
            cells = [list(row) for row in rows]
            run.log({"leaderboard": wandb.Table(columns=list(columns), data=cells, allow_mixed_types=True)})
        except BaseException:
            close_run(run, 1)
            raise
        close_run(run, 0)
    except Exception as error:
        warn(f"the leaderboard is not logged ({type(error).__name__}: {error})")
