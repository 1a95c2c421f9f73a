"""``kdzoo bench``: a suite of runs under one protocol."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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

if TYPE_CHECKING:
    from kdzoo.registry.model import Registry
    from kdzoo.zoo import Zoo

VERIFY, PLAN, STATUS, CANCEL, RUN_ONE = "verify", "plan", "status", "cancel", "run-one"
"""In the place of a suite: check results that are handed in; list, see, end and do its jobs."""

JOBS = "Jobs of a cluster"
"""Panel of the help."""


@recipe_flags((replace(FLAGS[name], panel=None) for name in ("epochs", "data_dir")), default="the suite's")
def bench(
    *,
    suite: Annotated[
        str,
        typer.Argument(
            help="A suite of the registry, or a YAML file with one; or verify, to check results; or, for a suite's "
            "jobs, plan, status, cancel or run-one."
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="With verify, status, cancel: the suite's folder; with plan: the suite; with run-one: a job's key.",
            show_default=False,
        ),
    ] = None,
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
    teachers: Annotated[
        Path | None, typer.Option(help="Take the teachers of this folder, made by --teachers-only.")
    ] = None,
    teachers_only: Annotated[
        bool, typer.Option("--teachers-only", help="Train the teachers and write them with an index.")
    ] = False,
    cluster: Annotated[
        Literal["slurm", "local", "debug"] | None,
        typer.Option(
            help="Submit the runs as jobs; local and debug stand for a cluster on this machine.",
            rich_help_panel=JOBS,
            show_default=False,
        ),
    ] = None,
    cluster_config: Annotated[
        Path | None,
        typer.Option(help="A YAML file: partition, account, gpus, time, ...", rich_help_panel=JOBS),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time at most.", rich_help_panel=JOBS)
    ] = None,
    per_gpu: Annotated[
        int, typer.Option(min=1, help="Runs that share a job and its GPU.", rich_help_panel=JOBS)
    ] = 1,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay until all jobs are done.", rich_help_panel=JOBS)
    ] = False,
    no_retry: Annotated[
        bool, typer.Option("--no-retry", help="Do not submit failed runs again.", rich_help_panel=JOBS)
    ] = False,
    commands: Annotated[
        bool,
        typer.Option(
            "--commands",
            help="With plan: print a command for each job, for another scheduler.",
            rich_help_panel=JOBS,
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the leaderboard as JSON.")] = False,
) -> None:
    """Compare methods: plan the runs, run the unfinished ones, print a leaderboard, write a report.

    Run it again to go on after an interruption. The exit code is 1 if a run failed.
    """
    if suite in (STATUS, CANCEL, RUN_ONE):
        _jobs(suite, folder, output, json)
        return
    from kdzoo.bench.suite import narrowed, open_suite
    from kdzoo.bench.table import terminal_table, terminal_title
    from kdzoo.bench.teachers import with_teachers
    from kdzoo.bench.words import columns_left_out
    from kdzoo.cli.suite_session import SuiteCommand
    from kdzoo.registry.load import load_registry
    from kdzoo.zoo import Zoo

    zoo = Zoo()
    registry = load_registry(zoo, registry_ or ())
    if suite == VERIFY:
        _verify(folder, zoo, registry, json)
        return
    planned = suite == PLAN
    if planned:
        if folder is None:
            raise KdzooError("kdzoo bench plan: missing the suite")
        suite = str(folder)
    elif folder is not None:
        raise KdzooError(f"kdzoo bench {suite} takes no folder; name it with --output")
    if commands and not planned:
        raise KdzooError(f"--commands is for kdzoo bench plan {suite}")
    name, found = open_suite(suite, registry)
    found = narrowed(found, seeds=_seeds(seeds), methods=_names(methods), pairs=_names(pairs))
    command = SuiteCommand(
        name=name,
        suite=found if teachers is None else with_teachers(found, teachers),
        output=output or Path("runs") / "bench" / name,
        zoo=zoo,
        registry=registry,
        layers=(*layers, Layer("--set", parse_set(assign or ()))),
        workers=workers,
        quiet=quiet or json,
    )
    if teachers_only:
        print_line(console(), str(command.teachers()))
        return
    if planned or cluster is not None:
        from kdzoo.bench.executors.config import read_config
        from kdzoo.cli.suite_cluster import ClusterCommand, print_plan

        config = read_config(cluster_config)
        config = config if jobs is None else config.model_copy(update={"parallel": jobs})
        on_jobs = ClusterCommand(
            command, cluster or "", config, per_job=per_gpu, watch=watch, retry=not no_retry
        )
        if planned:
            print_plan(on_jobs, commands=commands, json=json)
            return
        done = on_jobs.run()
        if done is None:
            print_line(
                error_console(), f"how far they are: kdzoo bench status {shlex.quote(str(command.output))}"
            )
            return
    else:
        _check_cluster_flags(cluster_config, jobs, per_gpu, watch, no_retry)
        done = command.run()
    results, report = done
    err = error_console()
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
        where = f" ({command.output / failure.folder / 'error.txt'})" if failure.folder else ""
        err.print(f"failed: {failure.name}: {failure.error}{where}", soft_wrap=True, markup=False)
    if results.ledger.failures:
        raise typer.Exit(1)


def _jobs(word: str, folder: Path | None, output: Path | None, json: bool) -> None:
    """The words that need no plan of the suite."""
    from kdzoo.cli.bench_jobs import cancel, run_one, show_status

    if folder is None:
        missing = "the key of the job" if word == RUN_ONE else "the folder of the suite"
        raise KdzooError(f"kdzoo bench {word}: missing {missing}")
    if word == RUN_ONE:
        run_one(str(folder), output)
    elif word == STATUS:
        show_status(folder, json=json)
    else:
        cancel(folder)


def _check_cluster_flags(
    config: Path | None, jobs: int | None, per_gpu: int, watch: bool, no_retry: bool
) -> None:
    """Refuse flags that do nothing without a cluster."""
    given = {"--cluster-config": config, "--jobs": jobs, "--per-gpu": per_gpu > 1, "--watch": watch}
    for flag in (name for name, value in {**given, "--no-retry": no_retry}.items() if value):
        raise KdzooError(f"{flag} is for --cluster; runs on this machine have --workers")


def _verify(folder: Path | None, zoo: Zoo, registry: Registry, json: bool) -> None:
    """Exit code 1 if something is wrong."""
    from kdzoo.bench.verify import verify

    if folder is None:
        raise KdzooError("kdzoo bench verify: missing the folder of the results")
    results, found = verify(folder, zoo, registry)
    if json:
        print_json({"folder": str(folder), "suite": results.ledger.suite, "found": found})
    else:
        out = console()
        for line in found:
            print_paragraph(out, f"- {line}", hanging=2)
        count = len(results.ledger.runs)
        summary = "; ".join([f"{count} runs of {results.ledger.suite}", f"{len(found)} things are wrong"])
        print_line(out, summary if found else f"{count} runs of {results.ledger.suite}: nothing is wrong")
    if found:
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
