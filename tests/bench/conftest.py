"""Folders as a real session leaves them, written by the real journal and ledger, without training anything."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kdzoo.api.observer import EpochEnded, Job, RunEnded, RunStarted
from kdzoo.bench.ledger import (
    Ledger,
    MethodNote,
    PlannedRun,
    TriedSettings,
    TunedEntry,
    write_ledger,
)
from kdzoo.observers.journal import Journal
from kdzoo.version import __version__

PAIR = "test_resnet>test_efficientnet"
RECIPE = {
    "kdzoo": __version__,
    "method": "kd",
    "scheme": {"name": "offline"},
    "algorithm": {"name": "distill"},
    "roles": {"teacher": {"model": "test_resnet"}, "student": {"model": "test_efficientnet"}},
    "data": {"dataset": "digits", "data_dir": None},
    "epochs": 6,
    "seed": 0,
}
PROVENANCE = {
    "versions": {"python": "3.11.7", "kdzoo": __version__, "torch": "2.15.0"},
    "data": {"hash": "ab" * 32, "skipped": []},
    "git": "0123abc",
    "machine": {"device": "cpu", "name": "A Processor", "system": "Linux x86_64", "cores": 2, "threads": 1},
}


def result(last: float, *, seconds: float = 8.0, **more: Any) -> dict[str, Any]:
    return {
        "method": "kd",
        "test/last": last,
        "val/last": last - 1,
        "epoch/chosen": 5,
        "val/chosen": last,
        "test/chosen": last + 0.25,
        "test/teacher": 97.5,
        "parameters": 360_000,
        "seconds": seconds,
        "process_seconds": seconds,
        "peak_memory_mb": 512.0,
        **more,
    }


def write_run(
    folder: Path, ends: Mapping[str, Any] | None, *, name: str = "kd seed 0", epochs: int = 6
) -> None:
    """A run's folder; ``ends`` is its result, None = it has not ended."""
    folder.mkdir(parents=True)
    journal = Journal(folder / "metrics.jsonl")
    journal.observe(RunStarted(folder, Job(name), RECIPE))
    last = ends["test/last"] if ends else 80.0
    for epoch in range(1, epochs + 1):
        value = last * (1 - math.exp(-epoch / 1.2))
        metrics = {
            "train/task": 2 / epoch,
            "train/teach": 1 / epoch,
            "val/accuracy": value,
            "lr": 0.002 / epoch,
        }
        journal.observe(EpochEnded("distill", epoch, {**metrics, "seconds": 1.0}))
    (folder / "recipe.yaml").write_text("method: kd\n", encoding="utf-8")
    if ends is not None:
        (folder / "provenance.json").write_text(json.dumps(PROVENANCE), encoding="utf-8")
        journal.observe(RunEnded(folder, ends))


@pytest.fixture
def write_suite(tmp_path: Path) -> Callable[..., Path]:
    """Write a suite's folder from entry -> accuracy at the last epoch by seed; None = that run has not ended."""

    def write(accuracies: Mapping[str, list[float | None]], **more: Any) -> Path:
        folder = tmp_path / "suite"
        runs = []
        for number, (entry, values) in enumerate(accuracies.items()):
            for seed, value in enumerate(values):
                place = f"jobs/run-{number}-{seed}"
                runs.append(PlannedRun(entry=entry, pair=PAIR, seed=seed, folder=place))
                ends = None if value is None else result(value, seconds=8.0 + number)
                write_run(folder / place, ends, name=f"{entry} seed {seed}")
        content = {
            "suite": "quick",
            "summary": "Digits.",
            "kdzoo": __version__,
            "command": "kdzoo bench quick",
            "started": "2026-01-02T03:04:05+00:00",
            "seconds": 150.0,
            "workers": 2,
            "threads": 1,
            "data": {"dataset": "digits", "train_per_class": 40},
            "epochs": 6,
            "seeds": tuple(range(max(map(len, accuracies.values())))),
            "baseline": next(iter(accuracies)),
            "pairs": (PAIR,),
            "entries": {
                name: MethodNote(title=f"Title of {name}", cite="A. Nybody. 2026.") for name in accuracies
            },
            "runs": tuple(runs),
            **more,
        }
        tuned = TunedEntry(
            entry=list(accuracies)[-1],
            pair=PAIR,
            seed=1000,
            chosen=1,
            candidates=(
                TriedSettings(settings={"knowledge.temperature": 2.0}, validation=90.1, folder="tuning/a"),
                TriedSettings(settings={"knowledge.temperature": 8.0}, validation=91.2, folder="tuning/b"),
                TriedSettings(settings={"knowledge.temperature": -1.0}, validation=None, folder="tuning/c"),
            ),
        )
        write_ledger(folder, Ledger(**content), (tuned,))
        return folder

    return write


@pytest.fixture(name="write_run")
def _write_run() -> Callable[..., None]:
    """Write a run's folder from its accuracy at the last epoch; None = it has not ended."""

    def write(folder: Path, accuracy: float | None, *, name: str = "kd seed 0") -> None:
        write_run(folder, None if accuracy is None else result(accuracy), name=name)

    return write
