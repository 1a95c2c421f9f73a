"""``kdzoo bench``: a suite of runs under one protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from kdzoo.cli.flags import FLAGS, REGISTRY
from kdzoo.cli.options import recipe_flags
from kdzoo.cli.output import (
    console,
    edge,
    error_console,
    print_json,
    print_line,
    print_paragraph,
    print_whole,
)
from kdzoo.errors import KdzooError
from kdzoo.recipe.layers import Layer, parse_set


@recipe_flags((replace(FLAGS[name], panel=None) for name in ("epochs", "data_dir")), default="the suite's")
def bench(
    *,
    suite: Annotated[str, typer.Argument(help="A suite of the registry, or a YAML file with one.")],
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
            help="Names, separated by commas; the baseline is always added.", show_default="the suite's"
        ),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(help="Such as 'r32x4>r8x4', separated by commas.", show_default="the suite's"),
    ] = None,
    layers: list[Layer],
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Any key of every recipe: --set optim.lr=0.01, or --optim.lr=0.01. May be repeated."
        ),
    ] = None,
    registry_: Annotated[list[str] | None, REGISTRY] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the leaderboard as JSON.")] = False,
) -> None:
    """Compare methods: plan the runs, run the unfinished ones, print a leaderboard, write a report.

    Run it again to go on after an interruption. The exit code is 1 if a run failed.
    """
    import shlex
    import sys
    from contextlib import closing

    from kdzoo.bench.crew import available_gpus, crew, thread_limit
    from kdzoo.bench.data import EMBEDDED, SuiteData
    from kdzoo.bench.plan import Planner
    from kdzoo.bench.progress import SuiteProgress
    from kdzoo.bench.publish import publish
    from kdzoo.bench.run import SuiteSession
    from kdzoo.bench.suite import narrowed, open_suite
    from kdzoo.bench.table import terminal_table, terminal_title
    from kdzoo.bench.words import columns_left_out
    from kdzoo.cores import available_cores
    from kdzoo.observers.console import Console
    from kdzoo.registry.load import load_registry
    from kdzoo.stopping import Stop, Stopped
    from kdzoo.zoo import Zoo

    zoo = Zoo()
    registry = load_registry(zoo, registry_ or ())
    name, found = open_suite(suite, registry)
    if any(one.source == "--data-dir" for one in layers) and found.data.dataset == EMBEDDED:
        layers = [*layers, Layer("--data-dir", {"data": {"dataset": "folder"}})]
    team = crew(workers, available_cores(), available_gpus(), at_most=thread_limit())
    command = shlex.join(["kdzoo", *sys.argv[1:]])
    err = error_console()
    with closing(Console(err)) as shown:
        data = SuiteData(shown.observe) if not (quiet or json) else SuiteData()
        planner = Planner(
            name,
            narrowed(found, seeds=_seeds(seeds), methods=_names(methods), pairs=_names(pairs)),
            output=output or Path("runs") / "bench" / name,
            zoo=zoo,
            registry=registry,
            layers=[*layers, Layer("--set", parse_set(assign or ()))],
            threads=team.threads,
            facts=data.facts,
        )
        session = SuiteSession(planner, registry.methods, team, command=command)
        data.release()
    try:
        with Stop().listening():
            session.run(SuiteProgress(err, len(team.devices), quiet=quiet or json))
    except Stopped as error:
        err.print(
            f"kdzoo: {error}; the same command continues from here: {command}", soft_wrap=True, markup=False
        )
        raise typer.Exit(error.exit_code) from None
    results, report = publish(session)
    if json:
        print_json(results.as_json())
    else:
        out = console()
        narrow: list[str] = []
        for pair in results.pairs:
            table, left_out = terminal_table(pair, edge(out))
            print_line(out, "\n", terminal_title(pair))
            print_whole(out, table)
            narrow += left_out
        if narrow:
            out.print()
            print_paragraph(out, columns_left_out(dict.fromkeys(narrow)))
        print_line(out, f"\nreport: {report}")
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
