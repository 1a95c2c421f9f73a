"""``kdzoo show METHOD``: its components, each hyper-parameter, the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from kdzoo.api.declared import DeclaredRole
from kdzoo.cli.flags import REGISTRY
from kdzoo.cli.output import console, print_json, print_line, print_paragraph
from kdzoo.errors import KdzooError
from kdzoo.recipe.component import Component, Summand
from kdzoo.recipe.layers import flattened
from kdzoo.registry.load import find_method, load_registry
from kdzoo.registry.model import Method
from kdzoo.registry.published import Figure, recorded_figure
from kdzoo.registry.roles import declared_roles, declares, role_flag
from kdzoo.zoo import Zoo
from kdzoo.zoo.hyperparameters import describe, limits, required, validate
from kdzoo.zoo.zoo import Kind

REQUIRED = "(required)"
"""The value of a hyper-parameter that has no default and is not set."""


def show(
    method: Annotated[str, typer.Argument(help="A method of the registry; kdzoo list shows them.")],
    registry: Annotated[list[str] | None, REGISTRY] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a method: components, each hyper-parameter with type, range and default, roles, paper, how to cite."""
    zoo = Zoo()
    content = load_registry(zoo, registry or ())
    entry = find_method(content, method)
    figures = content.figures(method=method)
    installed = zoo.has(*entry.packages)
    roles = _roles(zoo, entry) if installed else []
    components: list[dict[str, Any]] = []
    for kind, component in entry.components:
        row: dict[str, Any] = {"kind": kind, "name": component.name, "hyperparameters": []}
        if installed:
            summed = kind == "knowledge" and len(entry.knowledge) > 1
            row |= _described(zoo, kind, component, f"{kind}.{component.name}" if summed else kind)
        components.append(row)
    if json:
        print_json(
            {
                "method": method,
                **entry.model_dump(mode="json", exclude={"knowledge", "scheme", "algorithm", "published"}),
                "published": [recorded_figure(one).model_dump(mode="json") for one in figures],
                "installed": installed,
                "components": components,
                "roles": roles,
                "cite": entry.paper.cite() if entry.paper else None,
            }
        )
        return
    out = console()
    year = f", {entry.paper.year}" if entry.paper else ""
    print_paragraph(out, f"  {entry.title} ({entry.category}{year})", bold=method)
    if entry.summary:
        print_paragraph(out, entry.summary)
    if not installed:
        print_line(out, (f"not installed: pip install {' '.join(entry.packages)}", "yellow"))
    for row in components:
        _print_component(out, row)
    _print_roles(out, roles)
    if entry.recipe:
        print_line(out, ("\nrecipe", "bold"))
        for key, value in flattened(entry.recipe):
            print_paragraph(out, f"{key} = {_shown(value)}", indent=2, hanging=6)
    _print_published(out, figures)
    if entry.paper:
        print_line(out, ("\ncite", "bold"))
        print_paragraph(out, entry.paper.cite(), indent=2)
    print_line(out, ("\nrun", "bold"))
    needed = [one["role"] for one in roles if one["needed"]] if installed else ["teacher", "student"]
    needed.sort(key=("teacher", "student", *needed).index)
    command = " ".join([f"kdzoo distill --method {method}", *map(role_flag, needed)])
    print_paragraph(out, command, indent=2, hanging=6)


def _roles(zoo: Zoo, entry: Method) -> list[dict[str, Any]]:
    """The roles whose networks a recipe may name, and whether it must."""
    rows = {"student": DeclaredRole("student", "trained, and exported")}
    scheme = zoo.find("scheme", entry.scheme.name).component
    try:
        declared = [one for one, _ in declared_roles(zoo, entry.components).values()]
    except KdzooError:  # a hyper-parameter is required, and not known here
        declared = []
    if not declares(scheme) and scheme.kind == "offline":
        declared = [DeclaredRole("teacher", "teaches the student")]
    rows |= {one.name: one for one in declared}
    for one in declared:
        if one.like is not None and one.like not in rows:
            rows[one.like] = DeclaredRole(one.like, "for the roles like it that the recipe does not name")
    reads = bool(entry.knowledge) or zoo.find("algorithm", entry.algorithm.name).component.reads_teacher
    named = {role: _model(given) for role, given in entry.recipe.get("roles", {}).items()}
    return [
        {
            "role": one.name,
            "meaning": one.meaning,
            "model": named.get(one.name) or _model(one.default),
            "like": one.like,
            "needed": not named.get(one.name) and (one.required or (one.optional and reads)),
        }
        for one in rows.values()
    ]


def _model(given: Any) -> str | None:
    return given.get("model") if isinstance(given, Mapping) else given


def _print_roles(out: Console, roles: Sequence[Mapping[str, Any]]) -> None:
    if roles:
        print_line(out, ("\nroles", "bold"))
    for one in roles:
        value = f" = {one['model']}" if one["model"] else f" as {one['like']}" if one["like"] else ""
        needs = "  (required)" if one["needed"] else ""
        print_paragraph(out, f"{one['role']}{value}{needs}: {one['meaning']}", indent=2, hanging=6)


def _print_published(out: Console, figures: Sequence[Figure]) -> None:
    """A paragraph for each source: its accuracies by pair."""
    tables: dict[tuple[str, int], list[Figure]] = {}
    for one in figures:
        tables.setdefault((one.suite, id(one.terms)), []).append(one)
    if tables:
        print_line(
            out, ("\npublished", "bold"), " test accuracies in percent; kdzoo reproduce runs one again"
        )
    for (suite, _), rows in tables.items():
        terms = rows[0].terms
        differences = f"; differs: {terms.differences}" if terms.differences else ""
        print_paragraph(out, f"{suite}, {terms.source}: {terms.of}{differences}", indent=2, hanging=6)
        print_paragraph(out, ", ".join(f"{one.pair} {one.value:.2f}" for one in rows), indent=6)


def _print_component(out: Console, row: Mapping[str, Any]) -> None:
    """Its summary, then for each hyper-parameter ``key = value  (type and range, default)`` and the meaning below."""
    print_line(out, ("\n" + row["kind"], "bold"), f" {row['name']}")
    if row.get("summary"):
        print_paragraph(out, _plain(row["summary"]), indent=2)
    for one in row["hyperparameters"]:
        value = "" if one["value"] == REQUIRED else f" = {_shown(one['value'])}"
        print_paragraph(out, f"{one['key']}{value}  ({_accepts(one)})", indent=2, hanging=6)
        if one["meaning"]:
            print_paragraph(out, _plain(one["meaning"]), indent=6)


def _accepts(one: Mapping[str, Any]) -> str:
    """``float > 0, default 4.0``."""
    accepted = one["range"] if one["type"] == "choice" else f"{one['type']} {one['range']}".strip()
    return f"{accepted}, " + ("required" if one["value"] == REQUIRED else f"default {_shown(one['default'])}")


def _shown(value: Any) -> str:
    """A value for people: 1/3 has four digits."""
    return f"{value:.4g}" if isinstance(value, float) and len(str(value)) > 8 else str(value)


def _plain(text: str) -> str:
    return text.replace("``", "")


def _described(zoo: Zoo, kind: Kind, component: Component, at: str) -> dict[str, Any]:
    """A component's summary, provider and hyper-parameters, whose keys begin with ``at``."""
    found = zoo.find(kind, component.name)
    missing = required(found.component) - component.settings.keys()
    values = dict(component.settings) if missing else validate(found, component.settings)
    summary = (found.component.__doc__ or "").strip().splitlines()
    summed = at != kind
    return {
        "summary": summary[0] if summary else "",
        "provided_by": f"{found.plugin.distribution} {found.plugin.version}",
        "hyperparameters": [
            *([_weight(component, at)] if summed else []),
            *(
                {
                    "key": f"{at}.settings.weight" if summed and one.name == "weight" else f"{at}.{one.name}",
                    "value": REQUIRED if one.name in missing else values.get(one.name, one.default),
                    "type": one.type,
                    "range": one.range,
                    "default": one.default,
                    "meaning": one.meaning,
                }
                for one in describe(found.component)
            ),
        ],
    }


def _weight(component: Component, at: str) -> dict[str, Any]:
    """The weight of a Knowledge in a sum, as a hyper-parameter."""
    field = Summand.model_fields["weight"]
    return {
        "key": f"{at}.weight",
        "value": getattr(component, "weight", field.default),
        "type": "float",
        "range": limits(field.annotation, field.metadata),
        "default": field.default,
        "meaning": field.description,
    }
