"""The leaderboard's cells, for a terminal, Markdown and wandb."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table

from kdzoo.bench.leaderboard import Estimate, Row
from kdzoo.bench.recorded import HEADLINE
from kdzoo.bench.results import PairResults

HEADINGS = (
    "method",
    "n",
    "test %,\nlast epoch",
    "minus\nbaseline",
    "published\n(ours minus it)",
    "test %,\nchosen epoch",
    "seconds\na run",
    "teacher s\nsaved",
    "peak\nMB",
    "from",
)
"""Headings with line breaks for narrow terminals."""

PUBLISHED = HEADINGS[4]
"""The heading of published accuracies: a star marks one that is not said to be of the last epoch."""

COST = HEADINGS[6:9]
"""The headings of what a run costs, which is compared only among equal devices."""

SAVED = HEADINGS[7]
"""The heading of the seconds that a teacher would have taken for replayed answers."""

LEAVE_OUT = ("from", "peak\nMB", SAVED, "seconds\na run", PUBLISHED, "test %,\nchosen epoch", "n")
"""The columns that a narrow terminal omits, in this order."""

_MAIN = "test %,\nlast epoch"
_BEFORE = "seconds\na run"
"""The suite's further figures stand before this column."""

_GAP = 2
"""Spaces between columns."""

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
    "teacher seconds saved",
    "peak memory MB",
    "parameters",
    "from",
)


def percent(value: Estimate | None, *, signed: bool = False) -> str:
    """``93.21 ± 0.45``; with a sign ``+0.31 ± 0.20``; ``-`` for None. Minus signs are typographic."""
    if value is None:
        return "–"
    mean = f"{value.mean:+.2f}" if signed else f"{value.mean:.2f}"
    spread = "" if value.half_width is None else f" ± {value.half_width:.2f}"
    return mean.replace("-", "−") + spread


def headings(pair: PairResults) -> tuple[str, ...]:
    """:data:`HEADINGS` with the suite's own headline and further figures."""
    at = HEADINGS.index(_BEFORE)
    whole = (*HEADINGS[:at], *pair.columns, *HEADINGS[at:])
    return tuple(pair.headline if one == _MAIN and pair.headline != HEADLINE else one for one in whole)


def leaderboard_lines(results: PairResults) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The headings and rows of a pair's leaderboard.

    Published accuracies and seconds saved only if there are any, and costs only of runs on equal devices.
    """
    heads = headings(results)
    lines = [heads, *(cells(row, published_cell(results, row)) for row in results.rows)]
    filled = {PUBLISHED: bool(results.published), SAVED: results.replays}
    filled |= {} if results.compares_cost else dict.fromkeys(COST, False)
    kept = [place for place, heading in enumerate(heads) if filled.get(heading, True)]
    lines = [tuple(line[place] for place in kept) for line in lines]
    return lines[0], lines[1:]


def published_cell(results: PairResults, row: Row) -> str:
    """``73.33 (−0.42)``: the published accuracy, and what the row's mean at the last epoch has more."""
    figure = results.published.get(row.entry)
    if figure is None:
        return ""
    difference = percent(Estimate(row.last.mean - figure.value, None, row.last.n), signed=True)
    own = "" if row.entry not in results.reproduced else f" ({difference})"
    return f"{figure.value:.2f}{own}{'' if figure.statistic == 'last' else '*'}"


def cells(row: Row, published: str = "") -> tuple[str, ...]:
    """The cells of a row, in the order of :func:`headings`."""
    return (
        row.entry,
        str(row.last.n),
        percent(row.last),
        percent(row.difference, signed=True),
        published,
        percent(row.chosen),
        *map(percent, row.columns.values()),
        f"{row.seconds:.1f}",
        f"{row.saved:.1f}",
        f"{row.memory_mb:.0f}",
        row.source,
    )


def columns_that_fit(lines: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """The columns of a table that fit into ``width`` characters; the least important ones are omitted first.

    Args:
        lines: the headings and the rows.
        width: width of the terminal; None is no limit.
    """
    widths = [
        max(cell_len(line) for cell in column for line in cell.split("\n"))
        for column in zip(*lines, strict=True)
    ]
    kept = list(range(len(widths)))
    names = list(lines[0])
    for heading in (one for one in LEAVE_OUT if one in names):
        if width is None or sum(widths[column] for column in kept) + _GAP * (len(kept) - 1) <= width:
            break
        kept.remove(names.index(heading))
    return kept


def terminal_table(results: PairResults, width: int | None = None) -> tuple[Table, list[str]]:
    """The leaderboard for a terminal; names and numbers are never wrapped.

    Args:
        results: the results of one pair.
        width: width of the terminal in characters; None for a file.

    Returns:
        The table, and the headings of the omitted columns.
    """
    heads, rows = leaderboard_lines(results)
    kept = columns_that_fit([heads, *rows], width)
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for heading in (heads[column] for column in kept):
        text = heading in ("method", "from")
        table.add_column(heading, justify="left" if text else "right", vertical="bottom", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(row[column]) for column in kept))
    left_out = [heading.replace("\n", " ") for number, heading in enumerate(heads) if number not in kept]
    return table, left_out


def terminal_title(results: PairResults) -> str:
    """The pair and its teacher's accuracy."""
    teacher = "" if results.teacher is None else f", teacher {results.teacher:.2f} %"
    return f"{results.pair}{teacher}"


def wandb_columns(results: Sequence[PairResults]) -> tuple[str, ...]:
    """:data:`WANDB_COLUMNS`, the headline under its own name, and the suite's further figures."""
    headline, columns = (results[0].headline, results[0].columns) if results else (HEADLINE, ())
    usual = [one.replace("test last", headline) if headline != HEADLINE else one for one in WANDB_COLUMNS]
    return (*usual, *(name for column in columns for name in (column, f"{column} ±")))


def wandb_rows(results: Sequence[PairResults]) -> list[list[Any]]:
    """All pairs' rows as numbers, in the order of :func:`wandb_columns`."""
    return [
        [
            one.pair,
            row.entry,
            row.last.n,
            *_numbers(row.last),
            *_numbers(row.difference),
            *_numbers(row.chosen),
            *(
                (row.seconds, row.process_seconds, row.saved, row.memory_mb)
                if one.compares_cost
                else (None,) * 4
            ),
            row.parameters,
            row.source,
            *(number for value in row.columns.values() for number in _numbers(value)),
        ]
        for one in results
        for row in one.rows
    ]


def _numbers(value: Estimate | None) -> tuple[float | None, float | None]:
    return (None, None) if value is None else (value.mean, value.half_width)
