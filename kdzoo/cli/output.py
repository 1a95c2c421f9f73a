"""Printing for people and for programs."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text


def print_json(content: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(content, indent=2, default=str))


def console() -> Console:
    """Standard output for people."""
    return Console(highlight=False, soft_wrap=False)


def error_console() -> Console:
    """Standard error for people: warnings, progress."""
    return Console(stderr=True, highlight=False)


def edge(out: Console) -> int | None:
    """The columns of the terminal; None for a pipe or a file, where nothing is wrapped or cut."""
    return out.width if out.file.isatty() else None


def print_line(out: Console, *parts: str | tuple[str, str]) -> None:
    """Print one line without wrapping: texts, or (text, style)."""
    out.print(Text.assemble(*parts), soft_wrap=True)


def print_whole(out: Console, table: Table) -> None:
    """Print a table in its natural width, even if it is wider than the terminal: nothing is cut."""
    table.width = Measurement.get(out, out.options.update(width=10_000), table).maximum
    out.print(table, soft_wrap=True)


def print_paragraph(
    out: Console, text: str, *, bold: str = "", indent: int = 0, hanging: int | None = None
) -> None:
    """Print text, wrapped at words to the terminal's edge; a longer word is not cut.

    Args:
        out: where to print.
        text: one paragraph.
        bold: words with which it begins, printed in bold.
        indent: spaces before the first line.
        hanging: spaces before the lines after it; default: ``indent``.
    """
    width = edge(out)
    text = f"{bold}{text}".replace("\n", " ")
    lines = [" " * indent + text]
    if width is not None:
        lines = textwrap.wrap(
            text,
            max(width, 20),
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent if hanging is None else hanging),
            break_long_words=False,
            break_on_hyphens=False,
        )
    whole = "\n".join(lines)
    print_line(out, (whole[: indent + len(bold)], "bold"), whole[indent + len(bold) :])
