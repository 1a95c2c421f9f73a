"""``kdzoo list``: every method of the registry, installed or not."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from kdzoo.cli.backbones import list_backbones
from kdzoo.cli.flags import REGISTRY
from kdzoo.cli.output import console, print_json
from kdzoo.errors import KdzooError, UnknownName
from kdzoo.registry.load import load_registry
from kdzoo.registry.model import category_order
from kdzoo.zoo import Zoo


def list_methods(
    category: Annotated[str | None, typer.Option(help="Only this category, such as response.")] = None,
    word: Annotated[str | None, typer.Argument(help="With --backbones: only names with this word.")] = None,
    backbones: Annotated[
        bool, typer.Option("--backbones", help="List models, those of plugins first, then timm's.")
    ] = False,
    more: Annotated[list[str] | None, REGISTRY] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the methods that can be run, by category, and the suites."""
    zoo = Zoo()
    if backbones:
        list_backbones(zoo, word, json=json)
        return
    if word is not None:
        raise KdzooError(f"{word!r} goes with --backbones; kdzoo show {word} is about a method")
    registry = load_registry(zoo, more or ())
    categories = sorted({method.category for method in registry.methods.values()}, key=category_order)
    if category is not None and category not in categories:
        raise UnknownName("category", category, categories)
    rows = [
        {
            "method": name,
            "category": method.category,
            "title": method.title,
            "year": method.paper.year if method.paper else None,
            "knowledge": " + ".join(one.name for one in method.knowledge) or None,
            "scheme": method.scheme.name,
            "algorithm": method.algorithm.name,
            "package": " ".join(method.packages),
            "installed": zoo.has(*method.packages),
        }
        for name, method in registry.methods.items()
        if category in (None, method.category)
    ]
    rows.sort(key=lambda row: (category_order(str(row["category"])), row["method"]))
    if json:
        suites = {name: suite.summary for name, suite in registry.suites.items()}
        print_json({"methods": rows, "suites": suites})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("method", "category", "title", "year", "knowledge", "scheme", "algorithm", ""):
        table.add_column(column, no_wrap=column in ("method", "category"))
    for row in rows:
        state = "" if row["installed"] else f"pip install {row['package']}"
        cells = ("method", "category", "title", "year", "knowledge", "scheme", "algorithm")
        # As Text, for a string would be searched for markup.
        table.add_row(*(Text(str(row[cell] if row[cell] is not None else "-")) for cell in cells), state)
    out = console()
    out.print(table)
    if category is None:
        out.print("\nsuites: " + ", ".join(registry.suites), soft_wrap=True)
    broken = [plugin for plugin in zoo.plugins if plugin.broken]
    for plugin in broken:
        out.print(f"plugin {plugin.distribution} does not work: {plugin.broken}", soft_wrap=True)
