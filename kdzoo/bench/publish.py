"""Write the results of a session after its runs: leaderboard, report, wandb table."""

from __future__ import annotations

from pathlib import Path

from kdzoo.bench.ledger import write_json
from kdzoo.bench.report import write_report
from kdzoo.bench.results import SuiteResults, read_results
from kdzoo.bench.run import SuiteSession
from kdzoo.bench.table import wandb_columns, wandb_rows

LEADERBOARD_FILE = "leaderboard.json"


def publish(session: SuiteSession) -> tuple[SuiteResults, Path]:
    """Write ``leaderboard.json``, ``report.html`` and ``report.md``; log the table if wandb observes the runs.

    Returns:
        The results, and the path of the HTML report.
    """
    results = read_results(session.folder)
    write_json(session.folder / LEADERBOARD_FILE, results.as_json())
    report = write_report(session.folder)
    if "wandb" in session.observers:
        from kdzoo.observers.wandb_table import log_leaderboard

        log_leaderboard(
            session.planner.name, wandb_columns(results.pairs), wandb_rows(results.pairs), session.folder
        )
    return results, report
