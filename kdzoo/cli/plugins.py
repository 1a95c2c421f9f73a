"""``kdzoo plugins``: the installed plugins and their errors."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from kdzoo.cli.output import console, print_json, print_line, print_paragraph
from kdzoo.registry.load import load_registry
from kdzoo.zoo import Zoo, commands, modules
from kdzoo.zoo.zoo import HOOKS


def plugins(
    context: typer.Context,
    metadata: Annotated[
        bool, typer.Option("--metadata", help="Only names and versions: no code of a plugin is run.")
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
    for command in commands.find_commands(zoo, group.commands).values():
        provided.setdefault(id(command.plugin), []).append(f"command {command.name}")
    for plugin, module in modules.named_modules(zoo):
        provided.setdefault(id(plugin), []).append(f"backbones {module}")
    load_registry(zoo)  # an invalid fragment is its plugin's error
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
    out = console()
    names = max((len(row["distribution"]) for row in rows), default=0)
    versions = max((len(row["version"]) for row in rows), default=0)
    for row in rows:
        _print_plugin(out, row, names, versions)


def _print_plugin(out: Console, row: dict[str, Any], names: int, versions: int) -> None:
    """Distribution, version and state in one line; its components and errors below."""
    state, _, reason = row["state"].partition(": ")
    style = {"ok": "green", "disabled": "yellow"}.get(state, "red")
    print_line(out, f"{row['distribution']:<{names}}  {row['version']:<{versions}}  ", (state, style))
    for problem in filter(None, (reason, row["warning"])):
        print_paragraph(out, problem, indent=4)
    by_kind: dict[str, list[str]] = {}
    for kind, _, name in (component.partition(" ") for component in row["components"]):
        by_kind.setdefault(kind, []).append(name)
    for kind, found in by_kind.items():
        print_paragraph(out, f"{kind}: {', '.join(found)}", indent=4, hanging=8)
    shown = {*HOOKS.values(), commands.HOOK, modules.HOOK}
    others = [hook.removeprefix("kdzoo_") for hook in row["hooks"] if hook not in shown]
    if others:
        print_paragraph(out, f"further hooks: {', '.join(others)}", indent=4, hanging=8)


def _metadata(zoo: Zoo, *, json: bool) -> None:
    """The metadata of the installed distributions."""
    columns = ("plugin", "distribution", "version", "module")
    rows = [{column: getattr(one, column, one.name) for column in columns} for one in zoo.known]
    if json:
        print_json(rows)
        return
    out = console()
    widths = [max((len(row[column]) for row in rows), default=0) for column in columns]
    for row in rows:
        cells = (row[column].ljust(width) for column, width in zip(columns, widths, strict=True))
        print_line(out, "  ".join(cells).rstrip())
