"""``kdzoo cache``: what is kept between runs, and removing it."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import typer

from kdzoo.cli.output import console, print_json, print_line

_DAY = 86400.0

cache = typer.Typer(
    help="Show or prune what is kept between runs: decoded images, trained teachers and their answers."
)


@cache.callback(invoke_without_command=True)
def show_cache(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show or prune what is kept between runs: decoded images, trained teachers and their answers.

    Nothing in it is precious: what is missing is made again. KDZOO_CACHE moves it.
    """
    if context.invoked_subcommand is not None:
        return
    from kdzoo.jobs.kept import kept
    from kdzoo.places import cache_folder

    found = kept()
    if json:
        rows = [{"what": one.what, "name": one.name, "about": one.about, "bytes": one.size} for one in found]
        print_json({"folder": str(cache_folder()), "kept": rows})
        return
    out = console()
    print_line(out, f"{cache_folder()}: {_size(sum(one.size for one in found))}")
    for one in found:
        print_line(out, f"  {_size(one.size):>9}  {_age(one.used):>8}  {one.what:<7}  {one.about}")
        print_line(out, (f"{'':23}{one.name}", "dim"))


@cache.command()
def prune(
    unused: Annotated[
        float,
        typer.Option("--unused", min=0, help="Only what was not used for so many days.", metavar="DAYS"),
    ] = 30.0,
    only: Annotated[
        Literal["images", "teacher", "answers"] | None,
        typer.Option("--only", help="Only decoded images, teachers, or answers.", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what was used just now.")] = False,
) -> None:
    """Remove what was not used for 30 days. What a process is making is left."""
    from kdzoo.jobs.kept import kept

    before = time.time() - unused * _DAY
    chosen = [
        one for one in kept() if (everything or one.used < before) and (only is None or one.what == only)
    ]
    removed = [one for one in chosen if one.remove()]
    out = console()
    for one in removed:
        print_line(out, f"  {_size(one.size):>9}  {one.what:<7}  {one.name}")
    print_line(out, f"{_size(sum(one.size for one in removed))} removed")


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _age(used: float) -> str:
    days = max(0.0, time.time() - used) / _DAY
    return "today" if days < 1 else f"{days:.0f} d ago"
