"""``kdzoo bench``: a suite of runs under one protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdzoo.cli.flags import REGISTRY, layer
from kdzoo.cli.output import console, error_console, print_json
from kdzoo.errors import KdzooError
from kdzoo.recipe.layers import Layer, parse_set


def bench(
    suite: Annotated[str, typer.Argument(help="A suite of the registry, or a YAML file that holds one.")],
    output: Annotated[
        Path | None, typer.Option(help="Folder of the suite.", show_default="runs/bench/SUITE")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time.", show_default="one per GPU, else per core")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Such as 0,1,2.", show_default="the suite's")] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Names with commas between; the baseline is always added.", show_default="the suite's"
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of the students.", show_default="the suite's")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="An image folder in place of the suite's data.", show_default=False)
    ] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any key of every recipe: --set optim.lr=0.01. May be repeated."),
    ] = None,
    registry_: Annotated[list[str] | None, REGISTRY] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the leaderboard as JSON.")] = False,
) -> None:
    """Compare methods: plan the runs, do those that are not finished, print a leaderboard, write a report.

    Run it again to go on after an interruption. The exit code is 1 if a run failed.
    """
    import shlex
    import sys

    from kdzoo.bench.crew import available_gpus, crew, thread_limit
    from kdzoo.bench.data import EMBEDDED
    from kdzoo.bench.plan import Planner
    from kdzoo.bench.progress import SuiteProgress
    from kdzoo.bench.publish import publish
    from kdzoo.bench.run import SuiteSession
    from kdzoo.bench.suite import narrowed, open_suite
    from kdzoo.bench.table import terminal_table
    from kdzoo.cores import available_cores
    from kdzoo.registry.load import load_registry
    from kdzoo.zoo import Zoo

    zoo = Zoo()
    registry = load_registry(zoo, registry_ or ())
    name, found = open_suite(suite, registry)
    flags = layer(epochs=epochs, data_dir=data_dir)
    if data_dir is not None and found.data.dataset == EMBEDDED:
        flags.append(Layer("--data-dir", {"data": {"dataset": "folder"}}))
    team = crew(workers, available_cores(), available_gpus(), at_most=thread_limit())
    planner = Planner(
        name,
        narrowed(found, seeds=_seeds(seeds), methods=_names(methods)),
        output=output or Path("runs") / "bench" / name,
        zoo=zoo,
        registry=registry,
        layers=[*flags, Layer("--set", parse_set(assign or ()))],
        threads=team.threads,
    )
    command = shlex.join(["kdzoo", *sys.argv[1:]])
    session = SuiteSession(planner, registry.methods, team, command=command)
    err = error_console()
    try:
        session.run(SuiteProgress(err, len(team.devices), quiet=quiet or json))
    except KeyboardInterrupt:
        err.print(f"interrupted; the same command goes on from here: {command}", soft_wrap=True, markup=False)
        raise typer.Exit(130) from None
    results, report = publish(session)
    if json:
        print_json(results.as_json())
    else:
        out = console()
        if not out.is_terminal:
            out.width = max(out.width, 120)  # a file has no edge
        for pair in results.pairs:
            out.print()
            out.print(terminal_table(pair))
        out.print(f"\nreport: {report}", soft_wrap=True, markup=False)
    for failure in results.ledger.failures:
        where = f" ({planner.output / failure.folder / 'error.txt'})" if failure.folder else ""
        err.print(f"failed: {failure.name}: {failure.error}{where}", soft_wrap=True, markup=False)
    if results.ledger.failures:
        raise typer.Exit(1)


def _names(text: str | None) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text is not None else None


def _seeds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise KdzooError(f"--seeds {text}: expected whole numbers with commas, such as 0,1,2") from None
