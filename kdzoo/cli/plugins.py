"""``kdzoo plugins``: what is installed, and what is wrong with it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from kdzoo.cli.output import console, print_json
from kdzoo.zoo import Zoo
from kdzoo.zoo.zoo import HOOKS


def plugins(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the installed plugins with their hooks, components and state."""
    zoo = Zoo()
    provided: dict[int, list[str]] = {}
    for kind in HOOKS:
        for found in (one for several in zoo.components(kind).values() for one in several):
            provided.setdefault(id(found.plugin), []).append(f"{kind} {found.name}")
    rows: list[dict[str, Any]] = [
        {
            "plugin": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "hooks": list(plugin.hooks),
            "components": provided.get(id(plugin), []),
            "state": f"broken: {plugin.broken}" if plugin.broken else "ok",
        }
        for plugin in zoo.plugins
    ]
    if json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("distribution", "version", "components", "state"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(row["distribution"], row["version"], ", ".join(row["components"]), row["state"])
    console().print(table)
