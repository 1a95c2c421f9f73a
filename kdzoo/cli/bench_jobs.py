"""``kdzoo bench status``, ``cancel`` and ``run-one``: the jobs of a suite, without planning it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape
from rich.table import Table

from kdzoo.cli.output import console, error_console, print_json, print_line, print_whole
from kdzoo.errors import KdzooError

if TYPE_CHECKING:
    from kdzoo.bench.executors.status import SuiteStatus, TaskStatus
    from kdzoo.bench.executors.submitit_queue import SubmititQueue

_SHOWN = 50
"""Runs of a state that the listing names."""


def show_status(folder: Path, *, json: bool) -> None:
    """Print how far the jobs of the suite in ``folder`` are."""
    from kdzoo.bench.executors.status import status

    found = status(folder, _queue(folder))
    if json:
        print_json({"folder": str(folder), **found.as_json()})
        return
    out = console()
    said = ", ".join(f"{number} {state}" for state, number in found.counts.items() if number)
    print_line(out, f"{len(found.tasks)} jobs: {said}")
    _print_running(found)
    failed = [one for one in found.tasks if one.state == "failed"]
    for one in failed[:_SHOWN]:
        print_line(out, f"failed: {one.name}: {one.error} ({one.log})")
    if len(failed) > _SHOWN:
        print_line(out, f"and {len(failed) - _SHOWN} more have failed")
    if found.counts["missing"] and not found.coordinators:
        print_line(out, "missing ones are submitted by the command that submitted the suite")


def cancel(folder: Path) -> None:
    """Take the suite's jobs out of the queue; those that run save first."""
    from kdzoo.bench.executors.queue import of_suite, read_batches

    queue = _queue(folder)
    if queue is None:
        raise KdzooError(f"{folder}: its jobs were submitted by somebody else than kdzoo")
    tasks, coordinators = of_suite(queue, read_batches(folder))
    ids = [*(job.id for job in coordinators), *dict.fromkeys(job.id for job in tasks.values())]
    queue.cancel(ids)
    print_line(console(), f"{len(ids)} jobs cancelled; the command that submitted the suite goes on with it")


def run_one(key: str, folder: Path | None) -> None:
    """Do one task; exit code 1 if it fails."""
    from kdzoo.bench.executors.job import run_one
    from kdzoo.stopping import Stopped

    if folder is None:
        raise KdzooError(f"kdzoo bench run-one {key}: missing --output, the folder of the suite")
    try:
        done = run_one(folder, key)
    except Stopped as error:
        error_console().print(f"kdzoo: {error}; the same command goes on", soft_wrap=True, markup=False)
        raise typer.Exit(error.exit_code) from None
    if not done:
        from kdzoo.bench.executors.record import read_record

        error_console().print(
            f"failed: {key}: {read_record(folder / key).error}", soft_wrap=True, markup=False
        )
        raise typer.Exit(1)


def _queue(folder: Path) -> SubmititQueue | None:
    """The scheduler of the suite in ``folder``; None where somebody else submits its jobs."""
    from kdzoo.bench.executors.settings import read_settings
    from kdzoo.bench.executors.submitit_queue import SubmititQueue

    settings = read_settings(folder)
    if settings.cluster is None:
        return None
    return SubmititQueue(settings.cluster, folder, settings.config, settings.suite)


def _print_running(found: SuiteStatus) -> None:
    running = [one for one in found.tasks if one.state == "running"]
    if not running:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in ("running", "job", "where", "since", "epoch", "ends about", "limit", "log"):
        table.add_column(heading, no_wrap=True)
    for one in running[:_SHOWN]:
        table.add_row(*(escape(cell) for cell in _cells(one)))
    print_whole(console(), table)
    if len(running) > _SHOWN:
        print_line(console(), f"and {len(running) - _SHOWN} more are running")


def _cells(one: TaskStatus) -> tuple[str, ...]:
    epoch = "" if one.epoch is None else f"{one.epoch}/{one.epochs}"
    return (
        one.name,
        one.job or "",
        one.node or "",
        _clock(one.since),
        epoch,
        _clock(one.expected),
        _clock(one.until),
        one.log or "",
    )


def _clock(time: str | None) -> str:
    """``11-27 21:04`` of an ISO time."""
    return (time or "")[5:16].replace("T", " ")
