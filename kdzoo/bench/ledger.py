"""``suite.json`` and ``tuning.json``: what a suite's folder says of itself.

The accuracies are not in there: they are read from the ``metrics.jsonl`` of each run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from kdzoo.bench.recorded import Amount, Percent, read_json
from kdzoo.files import write_text
from kdzoo.recipe.model import Section

SUITE_FILE = "suite.json"
TUNING_FILE = "tuning.json"


class MethodNote(Section):
    """How an entry of the leaderboard is made.

    Attributes:
        title: the method's.
        cite: its paper, in one line.
        settings: components with their hyper-parameters, in one line; of the first pair.
    """

    title: str
    cite: str | None = None
    settings: str = ""


class PlannedRun(Section):
    """One seed of an entry; ``folder`` is relative to the suite's."""

    entry: str
    pair: str
    seed: int
    folder: str


class FailedRun(Section):
    """A run, a teacher or an entry that came to nothing, and why."""

    name: str
    error: str
    folder: str | None = None


class TriedSettings(Section):
    """A candidate: its settings, and its accuracy in percent on the validation split; None = it failed."""

    settings: dict[str, Any]
    validation: Percent | None
    folder: str


class TunedEntry(Section):
    """The candidates of a tuned entry. ``chosen`` counts them from 0; None = all failed."""

    entry: str
    pair: str
    seed: int
    candidates: tuple[TriedSettings, ...]
    chosen: int | None


class Ledger(Section):
    """What a suite was asked to do.

    Attributes:
        suite: its name.
        summary: its own words.
        kdzoo: the version.
        command: the command line.
        started: ISO 8601, with the time zone.
        seconds: that the last session took; None while it runs.
        workers: runs at a time.
        threads: of each worker.
        data: the data section of the recipes, as far as the suite or a flag sets it.
        epochs: of the students.
        seeds: in the order of the suite.
        baseline: the entry that differences are taken to.
        pairs: their names, in order.
        entries: name -> how it is made.
        runs: every seed of every entry.
        failures: what came to nothing.
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
    pairs: tuple[str, ...]
    entries: dict[str, MethodNote]
    runs: tuple[PlannedRun, ...]
    failures: tuple[FailedRun, ...] = ()


_TUNING = TypeAdapter(tuple[TunedEntry, ...])


def write_ledger(folder: Path, ledger: Ledger, tuning: tuple[TunedEntry, ...]) -> None:
    """Write both files, each whole or not at all."""
    write_json(folder / SUITE_FILE, ledger.model_dump(mode="json"))
    if tuning:
        write_json(folder / TUNING_FILE, _TUNING.dump_python(tuning, mode="json"))
    else:
        (folder / TUNING_FILE).unlink(missing_ok=True)


def read_ledger(folder: Path) -> tuple[Ledger, tuple[TunedEntry, ...]]:
    """Both files.

    Raises:
        KdzooError: one cannot be read, or is not what this version writes; names the file.
    """
    tuning = folder / TUNING_FILE
    return (
        read_json(folder / SUITE_FILE, TypeAdapter(Ledger)),
        read_json(tuning, _TUNING) if tuning.exists() else (),
    )


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file with its keys in their order, whole or not at all.

    Raises:
        KdzooError: the folder cannot be written.
    """
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
