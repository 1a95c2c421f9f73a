"""``kdzoo list``: every method of the registry, installed or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from kdzoo.cli.backbones import list_backbones
from kdzoo.cli.flags import REGISTRY
from kdzoo.cli.output import console, edge, error_console, print_json, print_line, print_paragraph
from kdzoo.errors import KdzooError, UnknownName
from kdzoo.registry.load import load_registry
from kdzoo.registry.model import Method, category_order
from kdzoo.zoo import Zoo

Row = Mapping[str, Any]


def list_methods(
    word: Annotated[
        str | None, typer.Argument(help="With --backbones: only models with this in the name.")
    ] = None,
    family: Annotated[
        str | None, typer.Option("--family", "--category", help="Only this family, such as response.")
    ] = None,
    search: Annotated[
        str | None, typer.Option(help="Only methods with this in name, title, summary or authors.")
    ] = None,
    installed: Annotated[bool, typer.Option("--installed", help="Only methods that can be run now.")] = False,
    backbones: Annotated[
        bool, typer.Option("--backbones", help="List models instead: plugins' first, then timm's.")
    ] = False,
    more: Annotated[list[str] | None, REGISTRY] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the methods by family, and the suites. In a pipe: only one line for each method."""
    zoo = Zoo()
    if backbones:
        list_backbones(zoo, word or search, json=json)
        return
    if word is not None:
        raise KdzooError(f"{word!r} needs --backbones; to search methods, use --search {word}")
    registry = load_registry(zoo, more or ())
    families = sorted({method.category for method in registry.methods.values()}, key=category_order)
    if family is not None and family not in families:
        raise UnknownName("family", family, families)
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
        if family in (None, method.category)
        and (search is None or _mentions(name, method, search))
        and (not installed or zoo.has(*method.packages))
    ]
    rows.sort(key=lambda row: (category_order(str(row["category"])), row["method"]))
    if json:
        suites = {name: suite.summary for name, suite in registry.suites.items()}
        print_json({"methods": rows, "suites": suites})
        return
    out, err = console(), error_console()
    if not rows:
        print_line(err, "no method matches")
    elif edge(out) is None:
        _print_for_programs(out, rows)
    else:
        _print_by_family(out, rows)
        if family is None and search is None:
            out.print()
            print_paragraph(out, f"suites: {', '.join(registry.suites)}", hanging=8)
        if not all(row["installed"] for row in rows):
            print_line(out, "\nkdzoo install METHOD installs the package of a method")
    for plugin in zoo.plugins:
        if plugin.broken:
            print_line(err, f"plugin {plugin.distribution} does not work: {plugin.broken}")


def _mentions(name: str, method: Method, word: str) -> bool:
    authors = method.paper.authors if method.paper else ""
    return any(word.casefold() in text.casefold() for text in (name, method.title, method.summary, authors))


def _print_by_family(out: Console, rows: Sequence[Row]) -> None:
    """A heading for each family, a line for each method; titles are cut with … at the terminal's edge."""
    names = max(len(row["method"]) for row in rows)
    family = None
    for row in rows:
        if row["category"] != family:
            print_line(out, *(["\n"] if family else []), (row["category"], "bold"))
            family = row["category"]
        start = f"  {row['method']:<{names}}  {row['year'] or '–':>4}  "
        state = "" if row["installed"] else "  not installed"
        title = Text(row["title"])
        title.truncate(max(out.width - len(start) - len(state), 1), overflow="ellipsis")
        print_line(out, start, title.plain, (state, "yellow"))


def _print_for_programs(out: Console, rows: Sequence[Row]) -> None:
    """Name, family, year and title in columns; the first three have no spaces."""
    names, families = (max(len(row[column]) for row in rows) for column in ("method", "category"))
    for row in rows:
        key = f"{row['method']:<{names}}  {row['category']:<{families}}  {row['year'] or '-':>4}"
        state = "" if row["installed"] else f"  (not installed: pip install {row['package']})"
        print_line(out, f"{key}  {row['title']}{state}")
