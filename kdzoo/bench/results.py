"""The results of a suite: the ledger lists the runs, each run's ``metrics.jsonl`` has its result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdzoo.bench.leaderboard import Row, Score, leaderboard, teacher_accuracy
from kdzoo.bench.ledger import Ledger, TunedEntry, read_ledger
from kdzoo.jobs.folder import finished


@dataclass(frozen=True)
class PairResults:
    """The leaderboard of one pair.

    Attributes:
        pair: ``teacher>student``.
        rows: best mean first.
        teacher: its accuracy in percent on the test split; None without a teacher.
        teacher_seconds: its training time; None if it was not trained here.
    """

    pair: str
    rows: tuple[Row, ...]
    teacher: float | None
    teacher_seconds: float | None


@dataclass(frozen=True)
class SuiteResults:
    """The results of a suite.

    Attributes:
        folder: the suite's folder.
        ledger: the plan.
        tuning: the tuned entries.
        pairs: one leaderboard for each.
        provenance: that of one run for each combination of machine and code; more than one gives a warning.
        data_hashes: hashes of the runs' data; with more than one they are not comparable.
        unfinished: number of planned runs without a result.
    """

    folder: Path
    ledger: Ledger
    tuning: tuple[TunedEntry, ...]
    pairs: tuple[PairResults, ...]
    provenance: tuple[Mapping[str, Any], ...]
    data_hashes: tuple[str, ...]
    unfinished: int

    @property
    def on_processor(self) -> bool:
        """Whether all runs trained on the CPU, so that processor time measures their cost."""
        return all(one["machine"]["device"] == "cpu" for one in self.provenance)

    def as_json(self) -> dict[str, Any]:
        """The leaderboards as plain data, for ``leaderboard.json`` and ``--json``."""
        return {
            "suite": self.ledger.suite,
            "baseline": self.ledger.baseline,
            "pairs": [asdict(pair) for pair in self.pairs],
            "tuning": [entry.model_dump(mode="json") for entry in self.tuning],
            "unfinished": self.unfinished,
            "failures": [failure.model_dump(mode="json") for failure in self.ledger.failures],
        }


def read_results(folder: Path) -> SuiteResults:
    """Read a suite's folder; unfinished runs are only counted.

    Raises:
        KdzooError: a file in it cannot be read; the message names it.
    """
    ledger, tuning = read_ledger(folder)
    results = {run.folder: finished(folder / run.folder) for run in ledger.runs}
    pairs = []
    for pair in ledger.pairs:
        ended = [
            (run, result)
            for run in ledger.runs
            if run.pair == pair and (result := results[run.folder]) is not None
        ]
        scores = [Score.of(run.entry, run.seed, result) for run, result in ended]
        paths = {result["teacher_path"] for _, result in ended if result.get("teacher_path")}
        trained = [one for path in sorted(paths) if (one := finished(Path(path).parent)) is not None]
        pairs.append(
            PairResults(
                pair,
                tuple(leaderboard(scores, ledger.baseline)),
                teacher_accuracy(scores),
                trained[0]["seconds"] if len(trained) == 1 else None,
            )
        )
    provenances = [
        one for path, result in results.items() if result and (one := _provenance(folder / path)) is not None
    ]
    return SuiteResults(
        folder=folder,
        ledger=ledger,
        tuning=tuning,
        pairs=tuple(pairs),
        provenance=tuple({_origin(one): one for one in provenances}.values()),
        data_hashes=_data_hashes(provenances),
        unfinished=sum(result is None for result in results.values()),
    )


def _provenance(folder: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # the accuracies do not depend on it
    return found


def _data_hashes(provenances: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Hashes of the runs' data. Runs without training images are compared only with each other."""
    found: dict[bool, set[str]] = {False: set(), True: set()}
    for one in provenances:
        found[bool(one["data"].get("withheld", False))].add(str(one["data"]["hash"]))
    different = [hashes for hashes in found.values() if len(hashes) > 1]
    return tuple(sorted(set().union(*different) if different else found[False] or found[True]))


def _origin(provenance: Mapping[str, Any]) -> str:
    """The facts that identify the machine and the version of the code."""
    return json.dumps([provenance.get(key) for key in ("machine", "versions", "git")], sort_keys=True)
