"""``kdzoo show METHOD``: its components, each hyper-parameter, the paper."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from kdzoo.cli.flags import REGISTRY
from kdzoo.cli.output import console, print_json
from kdzoo.registry.load import find_method, load_registry
from kdzoo.zoo import Zoo


def show(
    method: Annotated[str, typer.Argument(help="A method of the registry; kdzoo list shows them.")],
    registry: Annotated[list[str] | None, REGISTRY] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a method: components, each hyper-parameter with type, range and default, paper, how to cite."""
    zoo = Zoo()
    entry = find_method(load_registry(zoo, registry or ()), method)
    installed = zoo.has(*entry.packages)
    components: list[dict[str, Any]] = []
    for kind, component in entry.components:
        row: dict[str, Any] = {"kind": kind, "name": component.name, "hyperparameters": []}
        if installed:
            row |= _described(zoo, kind, component)
        components.append(row)
    if json:
        print_json(
            {
                "method": method,
                **entry.model_dump(mode="json", exclude={"knowledge", "scheme", "algorithm"}),
                "installed": installed,
                "components": components,
                "cite": entry.paper.cite() if entry.paper else None,
            }
        )
        return
    out = console()
    out.print(f"[bold]{method}[/]  {entry.title}  ({entry.category})", soft_wrap=True)
    if entry.summary:
        out.print(entry.summary, soft_wrap=True)
    if not installed:
        out.print(f"not installed: pip install {' '.join(entry.packages)}", soft_wrap=True)
    for row in components:
        out.print(
            f"\n[bold]{row['kind']}[/] {row['name']}  {row.get('summary', '').replace('``', '')}",
            soft_wrap=True,
        )
        if row["hyperparameters"]:
            table = Table(box=None, pad_edge=False, header_style="dim")
            for column in ("key", "value", "type", "range", "default", "meaning"):
                table.add_column(column, overflow="fold")
            for one in row["hyperparameters"]:
                table.add_row(
                    *(
                        str(one[column]).replace("``", "")
                        for column in ("key", "value", "type", "range", "default", "meaning")
                    )
                )
            out.print(table)
    if entry.recipe:
        out.print(f"\n[bold]recipe[/] {entry.recipe}", soft_wrap=True)
    if entry.paper:
        out.print(f"\n[bold]cite[/] {entry.paper.cite()}", soft_wrap=True)
    out.print(
        f"\n[bold]run[/] kdzoo distill --method {method} --teacher MODEL --student MODEL", soft_wrap=True
    )


def _described(zoo: Zoo, kind: Any, component: Any) -> dict[str, Any]:
    from kdzoo.zoo.hyperparameters import describe, required, validate

    found = zoo.find(kind, component.name)
    missing = required(found.component) - component.settings.keys()
    values = dict(component.settings) if missing else validate(found, component.settings)
    summary = (found.component.__doc__ or "").strip().splitlines()
    return {
        "summary": summary[0] if summary else "",
        "provided_by": f"{found.plugin.distribution} {found.plugin.version}",
        "hyperparameters": [
            {
                "key": f"{kind}.{one.name}",
                "value": "(required)" if one.name in missing else values.get(one.name, one.default),
                "type": one.type,
                "range": one.range,
                "default": one.default,
                "meaning": one.meaning,
            }
            for one in describe(found.component)
        ],
    }
