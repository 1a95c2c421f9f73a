"""``kdzoo plugins``: what is installed, and what is wrong with it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from kdzoo.cli.output import console, print_json
from kdzoo.registry.load import load_registry
from kdzoo.zoo import Zoo
from kdzoo.zoo.commands import find_commands
from kdzoo.zoo.modules import named_modules
from kdzoo.zoo.zoo import HOOKS


def plugins(
    context: typer.Context,
    metadata: Annotated[
        bool, typer.Option("--metadata", help="Names and versions alone: no code of a plugin is run.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the installed plugins with their hooks, components and state."""
    zoo = Zoo()
    if metadata:
        _metadata(zoo, json=json)
        return
    provided: dict[int, list[str]] = {}
    for kind in HOOKS:
        for found in (one for several in zoo.components(kind).values() for one in several):
            provided.setdefault(id(found.plugin), []).append(f"{kind} {found.name}")
    group: Any = context.find_root().command
    for command in find_commands(zoo, group.commands).values():
        provided.setdefault(id(command.plugin), []).append(f"command {command.name}")
    for plugin, module in named_modules(zoo):
        provided.setdefault(id(plugin), []).append(f"backbones {module}")
    load_registry(zoo)  # a fragment that does not fit is its plugin's fault
    rows: list[dict[str, Any]] = [
        {
            "plugin": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "hooks": list(plugin.hooks),
            "components": provided.get(id(plugin), []),
            "state": plugin.state,
            "warning": plugin.slow,
        }
        for plugin in zoo.plugins
    ]
    if json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("plugin", "distribution", "version", "hooks", "components", "state"):
        table.add_column(column, overflow="fold")
    for row in rows:
        hooks = ", ".join(name.removeprefix("kdzoo_") for name in row["hooks"])
        components = ", ".join(row["components"])
        state = row["state"].partition(":")[0]
        table.add_row(row["plugin"], row["distribution"], row["version"], hooks, components, state)
    out = console()
    out.print(table)
    for row in rows:
        if row["state"] not in ("ok", "disabled"):
            out.print(f"plugin {row['distribution']} is {row['state']}", soft_wrap=True, markup=False)
        if row["warning"]:
            out.print(f"plugin {row['distribution']} {row['warning']}", soft_wrap=True)


def _metadata(zoo: Zoo, *, json: bool) -> None:
    """What the installed distributions say of themselves."""
    columns = ("plugin", "distribution", "version", "module")
    rows = [{column: getattr(one, column, one.name) for column in columns} for one in zoo.known]
    if json:
        print_json(rows)
        return
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row.values())
    console().print(table)
