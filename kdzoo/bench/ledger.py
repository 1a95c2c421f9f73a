"""``suite.json`` and ``tuning.json``: the plan and the tuning of a suite.

They contain no test accuracies: these are read from the ``metrics.jsonl`` of each run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from kdzoo.bench.recorded import HEADLINE, Amount, Count, Percent, read_json
from kdzoo.files import write_text
from kdzoo.recipe.section import Section
from kdzoo.registry.published import RecordedFigure

SUITE_FILE = "suite.json"
TUNING_FILE = "tuning.json"


class MethodNote(Section):
    """The method and settings of an entry of the leaderboard.

    Attributes:
        title: the method's title.
        cite: its paper, in one line.
        settings: components with their hyper-parameters, in one line, for the first pair.
    """

    title: str
    cite: str | None = None
    settings: str = ""


class PlannedRun(Section):
    """One seed of an entry; ``folder`` is relative to the suite's folder."""

    entry: str
    pair: str
    seed: int
    folder: str


class FailedRun(Section):
    """A run, a teacher or an entry that failed, and why."""

    name: str
    error: str
    folder: str | None = None


class TriedSettings(Section):
    """A candidate: its settings, and its accuracy in percent on the validation split; None if it failed.

    ``images`` is how many its student saw.
    """

    settings: dict[str, Any]
    validation: Percent | None
    folder: str
    images: Count | None = None


class TunedEntry(Section):
    """The candidates of a tuned entry. ``chosen`` is the index of the best; None if all failed.

    ``trials`` is the budget that every entry of the suite had; None where the suite names the candidates.
    """

    entry: str
    pair: str
    seed: int
    candidates: tuple[TriedSettings, ...]
    chosen: int | None
    trials: Count | None = None


class Ledger(Section):
    """The plan of a suite, and what failed.

    Attributes:
        suite: its name.
        summary: its description.
        kdzoo: version of kdzoo.
        command: the command line.
        started: ISO 8601, with the time zone.
        seconds: duration of the last session; None while it runs.
        workers: number of parallel runs.
        threads: threads of each worker.
        data: the data section of the recipes, as set by the suite and flags.
        epochs: epochs of the students.
        seeds: the seeds, in the order of the suite.
        baseline: the entry that is subtracted in differences.
        headline: the figure that rows are ordered and compared by.
        columns: further figures.
        pairs: their names, in order.
        entries: name -> its method and settings.
        runs: every seed of every entry.
        failures: what failed.
        published: accuracies that others published on the suite's pairs.
        changed: keys that the command line sets otherwise than the suite's protocol has them.
    """

    suite: str
    summary: str
    kdzoo: str
    command: str
    started: str
    seconds: Amount | None = None
    workers: int
    threads: int
    data: dict[str, Any]
    epochs: int
    seeds: tuple[int, ...]
    baseline: str
    headline: str = HEADLINE
    columns: tuple[str, ...] = ()
    pairs: tuple[str, ...]
    entries: dict[str, MethodNote]
    runs: tuple[PlannedRun, ...]
    failures: tuple[FailedRun, ...] = ()
    published: tuple[RecordedFigure, ...] = ()
    changed: tuple[str, ...] = ()


_TUNING = TypeAdapter(tuple[TunedEntry, ...])


def write_ledger(folder: Path, ledger: Ledger, tuning: tuple[TunedEntry, ...]) -> None:
    """Write both files atomically."""
    write_json(folder / SUITE_FILE, ledger.model_dump(mode="json"))
    if tuning:
        write_json(folder / TUNING_FILE, _TUNING.dump_python(tuning, mode="json"))
    else:
        (folder / TUNING_FILE).unlink(missing_ok=True)


def read_ledger(folder: Path) -> tuple[Ledger, tuple[TunedEntry, ...]]:
    """Both files.

    Raises:
        KdzooError: a file cannot be read or is not valid; the message names it.
    """
    tuning = folder / TUNING_FILE
    return (
        read_json(folder / SUITE_FILE, TypeAdapter(Ledger)),
        read_json(tuning, _TUNING) if tuning.exists() else (),
    )


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically, with its keys in order.

    Raises:
        KdzooError: the folder cannot be written.
    """
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
