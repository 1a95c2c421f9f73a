"""The leaderboard's cells, for a terminal, Markdown and wandb."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from kdzoo.bench.leaderboard import Estimate, Row
from kdzoo.bench.results import PairResults

HEADINGS = (
    "method",
    "n",
    "test %,\nlast epoch",
    "minus\nbaseline",
    "test %,\nchosen epoch",
    "seconds\na run",
    "peak\nMB",
    "from",
)
"""Each in the lines that a narrow terminal needs."""

WANDB_COLUMNS = (
    "pair",
    "method",
    "n",
    "test last",
    "test last ±",
    "minus baseline",
    "minus baseline ±",
    "test chosen",
    "test chosen ±",
    "seconds",
    "processor seconds",
    "peak memory MB",
    "parameters",
    "from",
)


def percent(value: Estimate | None, *, signed: bool = False) -> str:
    """``93.21 ± 0.45``; with a sign ``+0.31 ± 0.20``; ``-`` for none. True minus signs."""
    if value is None:
        return "–"
    mean = f"{value.mean:+.2f}" if signed else f"{value.mean:.2f}"
    spread = "" if value.half_width is None else f" ± {value.half_width:.2f}"
    return mean.replace("-", "−") + spread


def cells(row: Row) -> tuple[str, ...]:
    """A row under :data:`HEADINGS`."""
    return (
        row.entry,
        str(row.last.n),
        percent(row.last),
        percent(row.difference, signed=True),
        percent(row.chosen),
        f"{row.seconds:.1f}",
        f"{row.memory_mb:.0f}",
        row.source,
    )


def terminal_table(results: PairResults) -> Table:
    """For people; the title has the pair and its teacher's accuracy."""
    table = Table(
        box=None, pad_edge=False, header_style="bold", title=escape(_title(results)), title_justify="left"
    )
    for heading in HEADINGS:
        text = heading in ("method", "from")
        table.add_column(
            heading, justify="left" if text else "right", vertical="bottom", no_wrap=not text, overflow="fold"
        )
    for row in results.rows:
        table.add_row(*map(escape, cells(row)))
    return table


def wandb_rows(results: Sequence[PairResults]) -> list[list[Any]]:
    """Every pair's rows under :data:`WANDB_COLUMNS`, as numbers."""
    return [
        [
            one.pair,
            row.entry,
            row.last.n,
            *_numbers(row.last),
            *_numbers(row.difference),
            *_numbers(row.chosen),
            row.seconds,
            row.process_seconds,
            row.memory_mb,
            row.parameters,
            row.source,
        ]
        for one in results
        for row in one.rows
    ]


def _title(results: PairResults) -> str:
    teacher = "" if results.teacher is None else f", teacher {results.teacher:.2f} %"
    return f"{results.pair}{teacher}"


def _numbers(value: Estimate | None) -> tuple[float | None, float | None]:
    return (None, None) if value is None else (value.mean, value.half_width)
