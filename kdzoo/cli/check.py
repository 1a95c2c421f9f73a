"""``kdzoo check NAME...``: the conformance kit for people who do not write tests."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from kdzoo.cli.flags import REGISTRY
from kdzoo.cli.output import console, print_json
from kdzoo.recipe.layers import flattened, parse_set
from kdzoo.registry.load import load_registry
from kdzoo.zoo import Zoo

if TYPE_CHECKING:
    from kdzoo.testing import Outcome


def check(
    names: Annotated[list[str], typer.Argument(help="Components, methods, or distributions.")],
    only: Annotated[str | None, typer.Option(help="Checks, separated by commas.")] = None,
    without: Annotated[str | None, typer.Option(help="Checks to leave out, such as processes.")] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", help="A key of the small recipe: --set roles.student.model=test_vit."),
    ] = None,
    registry: Annotated[list[str] | None, REGISTRY] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look for known mistakes of distillation code; exit code 1 if there are any.

    Each component is run for seconds on forty digits. docs/checks.md says what each check looks for and why.
    """
    settings = dict(flattened(parse_set(assign or ())))
    from kdzoo.testing import outcomes, subjects_of  # needs torch

    zoo = Zoo()
    subjects = [
        one.with_settings(**settings) for one in subjects_of(zoo, load_registry(zoo, registry or ()), *names)
    ]
    out = console()
    done: list[Outcome] = []
    for subject in subjects:
        if not json:
            out.print(f"[bold]{escape(subject.name)}[/]", soft_wrap=True)
        for outcome in outcomes(subject, only=_listed(only), without=_listed(without)):
            done.append(outcome)
            if not json:
                _print(out, outcome)
    findings = sum(len(one.findings) for one in done)
    if json:
        print_json(
            [
                {
                    "kind": one.subject.found.kind,
                    "component": one.subject.found.name,
                    "distribution": one.subject.found.plugin.distribution,
                    "check": one.check.name,
                    "exempt": one.exempt,
                    "findings": [asdict(finding) for finding in one.findings],
                }
                for one in done
            ]
        )
    else:
        found, run = _counted(findings, "finding"), _counted(len(done), "check")
        out.print(f"{found} in {run}")
    if findings:
        raise typer.Exit(1)


def _print(out: Console, outcome: Outcome) -> None:
    """A line for the check, and one for each finding: what, where, how to fix it."""
    if not outcome.findings:
        out.print(f"  {outcome.check.name}: {escape(outcome.state)}", soft_wrap=True)
    for finding in outcome.findings:
        text = f"{finding.what} ({finding.where}). {finding.mend}"
        out.print(f"  [red]{outcome.check.name}: {escape(text)}[/]", soft_wrap=True)


def _counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
