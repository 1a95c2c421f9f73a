"""``report.html`` and ``report.md``: the results of a suite or a run for readers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdzoo.bench import protocol
from kdzoo.bench.curves import VALIDATION, Band, band, series
from kdzoo.bench.figures import Drawing, cost_figure, curve_panel, difference_figure, limits_of
from kdzoo.bench.leaderboard import references
from kdzoo.bench.ledger import SUITE_FILE
from kdzoo.bench.markdown import run_markdown, suite_markdown
from kdzoo.bench.progress import duration
from kdzoo.bench.results import PairResults, SuiteResults, read_results
from kdzoo.bench.single import SingleRun, read_run
from kdzoo.bench.table import published_cell
from kdzoo.bench.tuning_words import WORTH_HEADINGS, about_tuning, worth
from kdzoo.bench.verdicts import about_differences, about_published, over_pairs, pair_rows
from kdzoo.bench.words import (
    about_data,
    about_teacher,
    alerts,
    finding,
    number,
    same_runs,
    several,
)
from kdzoo.errors import KdzooError
from kdzoo.files import write_text
from kdzoo.page import render_page

HTML, MARKDOWN = "report.html", "report.md"

_SHOWN_SINCE = 1 / 3
"""Fraction of training during which curves may be outside their panels: the methods hardly differ yet."""


@dataclass(frozen=True)
class Panel:
    """One small figure of a group; ``last`` is the mean at the last epoch."""

    name: str
    last: float
    drawing: Drawing


def write_report(folder: Path) -> Path:
    """Write ``report.html`` and ``report.md`` into a suite's or a run's folder.

    The HTML file is self-contained: it loads no scripts, fonts or pictures.

    Returns:
        The path of ``report.html``.

    Raises:
        KdzooError: ``folder`` is not that of a suite or a run, or cannot be written.
    """
    if os.path.isfile(folder / SUITE_FILE):
        results = read_results(folder)
        page, text = suite_page(results), suite_markdown(results)
    elif os.path.isfile(folder / "metrics.jsonl"):
        run = read_run(folder)
        page, text = run_page(run), run_markdown(run)
    else:
        raise KdzooError(
            f"{folder}: neither the folder of a suite ({SUITE_FILE}) nor that of a run (metrics.jsonl)"
        )
    write_text(folder / MARKDOWN, text)
    write_text(folder / HTML, page)
    return folder / HTML


def suite_page(results: SuiteResults) -> str:
    """The HTML page of a suite."""
    ledger = results.ledger
    return _page(
        "suite.html.jinja",
        title=f"{ledger.suite} - kdzoo benchmark",
        results=results,
        alerts=alerts(results),
        data=about_data(ledger.data),
        protocol=protocol.SUITE,
        sections=[_section(results, pair) for pair in results.pairs],
        over_pairs=list(pair_rows(over_pairs(results))),
        about_tuning=about_tuning(results),
        worth=list(worth(results)),
        worth_headings=WORTH_HEADINGS,
        about_pairs=protocol.OVER_PAIRS,
        pair_headings=protocol.OVER_PAIRS_HEADINGS,
    )


def run_page(run: SingleRun) -> str:
    """The HTML page of a single run."""
    curves = {name: band([values]) for name, values in run.series.items() if name != "seconds"}
    return _page(
        "run.html.jinja",
        title=run.name,
        what=run.what,
        alerts=run.alerts,
        facts=run.facts,
        panels=[_panel(name, curve, None, limits_of([curve])) for name, curve in curves.items() if curve],
        pictures=run.pictures,
        protocol=protocol.RUN,
        recipe=run.recipe,
        provenance=[run.provenance] if run.provenance else [],
    )


def _section(results: SuiteResults, pair: PairResults) -> dict[str, Any]:
    baseline = results.ledger.baseline
    section: dict[str, Any] = {"pair": pair.pair, "rows": pair.rows, "about_teacher": about_teacher(pair)}
    section["replays"] = pair.replays
    section["costs"] = pair.compares_cost
    if pair.rows:
        bands = _bands(results, pair)
        section["finding"] = finding(pair)
        section["baselines"] = references(pair.rows) or [baseline]
        section["tests"] = about_differences(pair)
        section["published"] = about_published(pair, results.ledger.changed)
        section["published_cells"] = {row.entry: published_cell(pair, row) for row in pair.rows}
        section["cost"] = _cost(results, pair) if pair.compares_cost else None
        limits = limits_of([*bands.values()], since=_SHOWN_SINCE) if bands else (0.0, 1.0)
        section["panels"] = [
            _panel(name, curve, bands.get(baseline) if name != baseline else None, limits)
            for name, curve in bands.items()
        ]
        compared = any(row.difference is not None for row in pair.rows)
        section["differences"] = difference_figure(pair.rows, pair.headline) if compared else None
    return section


def _cost(results: SuiteResults, pair: PairResults) -> Drawing:
    """Processor time on a CPU, which others may use too; wall time on a GPU, where processor time is irrelevant.

    Where runs replayed a teacher's answers, wall time and that of the teacher.
    """
    if pair.replays:
        costs = [row.seconds + row.saved for row in pair.rows]
        axis = "seconds per run, the teacher's for replayed answers included"
    elif results.on_processor:
        costs, axis = [row.process_seconds for row in pair.rows], "processor seconds per run"
    else:
        costs, axis = [row.seconds for row in pair.rows], "seconds per run"
    return cost_figure(
        pair.rows, costs, axis, baseline=results.ledger.baseline, teacher=pair.teacher, headline=pair.headline
    )


def _bands(results: SuiteResults, pair: PairResults) -> dict[str, Band]:
    """Validation accuracy of each entry, in the order of the leaderboard."""
    found = {}
    for row in pair.rows:
        runs = [
            series(results.runs[run.folder]).get(VALIDATION, {})
            for run in results.ledger.runs
            if (run.entry, run.pair) == (row.entry, pair.pair)
            and run.seed in row.seeds
            and run.folder in results.runs
        ]
        together = band(runs)
        if together is not None:
            found[row.entry] = together
    return found


def _panel(name: str, curve: Band, reference: Band | None, limits: tuple[float, float]) -> Panel:
    return Panel(name, curve.mean[-1], curve_panel(curve, reference, limits, title=name))


def _page(template: str, **values: Any) -> str:
    words: dict[str, Callable[..., str | None]] = {
        "number": number,
        "duration": duration,
        "several": several,
        "same_runs": same_runs,
    }
    return render_page("kdzoo.bench", template, words, **values)
