"""``kdzoo reproduce METHOD --pair PAIR``: one row of a published table, run under its protocol, with a verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdzoo.cli.flags import FLAGS, REGISTRY
from kdzoo.cli.options import recipe_flags
from kdzoo.cli.output import console, print_json, print_line, print_paragraph
from kdzoo.errors import KdzooError, UnknownName
from kdzoo.recipe.layers import Layer, parse_set

if TYPE_CHECKING:
    from kdzoo.bench.results import PairResults
    from kdzoo.registry.model import Suite
    from kdzoo.registry.published import RecordedFigure


@recipe_flags((replace(FLAGS[name], panel=None) for name in ("data_dir",)), default="the suite's")
def reproduce(
    *,
    method: Annotated[str, typer.Argument(help="A method with published accuracies; kdzoo show lists them.")],
    pair: Annotated[str, typer.Option(help="Such as 'r32x4>r8x4'.")],
    suite: Annotated[
        str | None, typer.Option(help="The protocol.", show_default="the first with a figure for the pair")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of runs.")] = 3,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Shorter training, with the steps of the learning rate scaled; no verdict."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed, one epoch of teacher and student: does it run?")
    ] = False,
    teachers: Annotated[
        Path | None, typer.Option(help="Take the teachers of this folder, made by bench --teachers-only.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder.", show_default="runs/reproduce/SUITE-METHOD")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time.", show_default="one per GPU, else per core")
    ] = None,
    layers: list[Layer],
    assign: Annotated[list[str] | None, typer.Option("--set", help="Any key of every recipe.")] = None,
    registry_: Annotated[list[str] | None, REGISTRY] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a method on a pair under the protocol of a published table, and compare last epoch with last epoch.

    The exit code is 1 if a run failed, and 0 whatever the verdict.
    """
    from kdzoo.bench.suite import narrowed
    from kdzoo.bench.teachers import with_teachers
    from kdzoo.cli.suite_session import SuiteCommand
    from kdzoo.registry.load import find_method, find_suite, load_registry
    from kdzoo.zoo import Zoo

    zoo = Zoo()
    registry = load_registry(zoo, registry_ or ())
    find_method(registry, method)
    figures = registry.figures(method=method, suite=suite)
    if not figures:
        where = f" in suite {suite}" if suite else ""
        raise KdzooError(
            f"no published accuracies of {method}{where}; kdzoo show METHOD lists those of a method"
        )
    known = [one for one in figures if one.pair == pair]
    if not known:
        raise UnknownName(f"pair with a published accuracy of {method}", pair, {one.pair for one in figures})
    protocol = known[0].suite
    whole = find_suite(registry, protocol)
    # the method is its own baseline, so that nothing else is trained
    narrow = whole.model_copy(update={"baseline": method, "tune": {}, "only_tuned": False})
    runs = 1 if quick else seeds
    narrow = narrowed(narrow, seeds=tuple(range(runs)), methods=(method,), pairs=(pair,))
    changes = [*layers, *_shortened(whole, method, pair, 1 if quick else epochs, quick)]
    results, report = SuiteCommand(
        name=protocol,
        suite=narrow if teachers is None else with_teachers(narrow, teachers),
        output=output or Path("runs") / "reproduce" / f"{protocol}-{method}",
        zoo=zoo,
        registry=registry,
        layers=[*changes, Layer("--set", parse_set(assign or ()))],
        workers=workers,
        quiet=quiet or json,
    ).run()
    published = [one for one in results.ledger.published if (one.method, one.pair) == (method, pair)]
    failures = [f"{one.name}: {one.error}" for one in results.ledger.failures]
    found = _verdicts(results.pairs[0], method, published, results.ledger.changed)
    if json:
        print_json(
            {"method": method, "pair": pair, "suite": protocol, "verdicts": found, "failures": failures}
        )
    else:
        out = console()
        for one in found:
            print_paragraph(out, one["sentence"])
        print_line(out, f"report: {report}")
        for line in failures:
            print_paragraph(out, f"failed: {line}")
    if failures:
        raise typer.Exit(1)


def _shortened(suite: Suite, method: str, pair: str, epochs: int | None, quick: bool) -> list[Layer]:
    """A shorter protocol: the steps of the learning rate fall at the same parts of the training."""
    if epochs is None:
        return []
    own = next(one for one in suite.pairs if one.label == pair)
    settings = {**suite.settings.get(method, {}), **own.settings.get(method, {})}
    part = epochs / suite.epochs
    values: dict[str, Any] = {"epochs": max(1, round(part * settings.get("epochs", suite.epochs)))}
    optim = suite.recipe.get("optim", {})
    if "decay_epochs" in optim:
        values["optim"] = {"decay_epochs": [part * one for one in optim["decay_epochs"]]}
    if quick:
        values["roles"] = {"teacher": {"epochs": 1}}
    return [Layer("--quick" if quick else "--epochs", values)]


def _verdicts(
    pair: PairResults, method: str, published: list[RecordedFigure], changed: tuple[str, ...]
) -> list[dict[str, Any]]:
    """The comparison with each published figure, those of the last epoch first."""
    from kdzoo.bench.compare import reproduction
    from kdzoo.bench.verdicts import verdict
    from kdzoo.bench.words import number

    if not pair.rows:
        return []
    row = pair.rows[0]
    values = list(pair.accuracies[method].values())
    found = []
    for figure in sorted(published, key=lambda one: one.statistic != "last"):
        compared = reproduction(values, figure.value, figure.runs)
        if changed:
            said = (
                f"{number(row.last.mean)} % with another protocol ({', '.join(changed)}); published are "
                f"{number(figure.value)} % ({figure.of}; {figure.source}): no verdict."
            )
        else:
            said = verdict(row.last, figure.value, figure, compared)
        found.append(
            {
                "published": figure.value,
                "statistic": figure.statistic,
                "runs": figure.runs,
                "source": figure.source,
                "differences": figure.differences,
                "accuracies": values,
                "mean": row.last.mean,
                "difference": compared.difference,
                "half_width": compared.half_width,
                "p": compared.p,
                "verdict": "none" if changed else compared.verdict,
                "sentence": f"{method}, {figure.pair}: {said}",
            }
        )
    return found
