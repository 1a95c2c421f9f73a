"""Printing for people and for programs."""

from __future__ import annotations

import json
from typing import Any

import typer
from rich.console import Console


def print_json(content: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(content, indent=2, default=str))


def console() -> Console:
    """Standard output for people."""
    return Console(highlight=False, soft_wrap=False)


def error_console() -> Console:
    """Standard error for people: warnings, progress."""
    return Console(stderr=True, highlight=False)
