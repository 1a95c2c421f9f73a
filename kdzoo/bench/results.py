"""The results of a suite: the ledger lists the runs, each run's ``metrics.jsonl`` has its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from kdzoo.bench.compare import Reproduction, reproduction
from kdzoo.bench.curves import VALIDATION, series
from kdzoo.bench.leaderboard import Row, Score, leaderboard, teacher_accuracy
from kdzoo.bench.ledger import Ledger, TunedEntry, read_ledger
from kdzoo.bench.recorded import HEADLINE, Provenance, Recorded, read_provenance, recorded
from kdzoo.errors import KdzooError, shortened
from kdzoo.files import inside
from kdzoo.places import cache_folder
from kdzoo.registry.published import RecordedFigure, preferred


@dataclass(frozen=True)
class PairResults:
    """The leaderboard of one pair.

    Attributes:
        pair: ``teacher>student``.
        rows: best mean first.
        teacher: its accuracy in percent on the test split; None without a teacher.
        teacher_seconds: its training time; None if it was not trained here.
        headline: the figure that the rows are ordered and compared by.
        columns: the further figures of the rows.
        published: entry -> the published accuracy that its last epoch is compared with.
        reproduced: entry -> the comparison; empty where the runs do not follow the suite's protocol.
        accuracies: entry -> seed -> accuracy at the last epoch.
        inflation: entry -> how much the best epoch is above the last on the validation split, mean over seeds.
        devices: where the runs were done; times and memory of more than one are not compared.
    """

    pair: str
    rows: tuple[Row, ...]
    teacher: float | None
    teacher_seconds: float | None
    headline: str = HEADLINE
    columns: tuple[str, ...] = ()
    published: Mapping[str, RecordedFigure] = field(default_factory=dict)
    reproduced: Mapping[str, Reproduction] = field(default_factory=dict)
    accuracies: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    inflation: Mapping[str, float] = field(default_factory=dict)
    devices: tuple[str, ...] = ()

    @property
    def compares_cost(self) -> bool:
        """Whether all runs were done on equal devices, so that their times and memory can be compared."""
        return len(self.devices) < 2

    @property
    def replays(self) -> bool:
        """Whether some run replayed a teacher's answers."""
        return any(row.saved for row in self.rows)


@dataclass(frozen=True)
class SuiteResults:
    """The results of a suite.

    Attributes:
        folder: the suite's folder.
        ledger: the plan.
        tuning: the tuned entries.
        pairs: one leaderboard for each.
        runs: folder -> the records of a run, for every readable run.
        left_out: a line for each unreadable run.
        provenance: that of one run for each combination of machine and code; more than one gives a warning.
        data_hashes: hashes of the runs' data; with more than one they are not comparable.
        unfinished: number of planned runs without a result.
    """

    folder: Path
    ledger: Ledger
    tuning: tuple[TunedEntry, ...]
    pairs: tuple[PairResults, ...]
    runs: Mapping[str, Recorded]
    left_out: tuple[str, ...]
    provenance: tuple[Provenance, ...]
    data_hashes: tuple[str, ...]
    unfinished: int

    @property
    def on_processor(self) -> bool:
        """Whether all runs trained on the CPU, so that processor time measures their cost."""
        return all(one.machine.device == "cpu" for one in self.provenance)

    def as_json(self) -> dict[str, Any]:
        """The leaderboards as plain data, for ``leaderboard.json`` and ``--json``."""
        return {
            "suite": self.ledger.suite,
            "baseline": self.ledger.baseline,
            "pairs": [_plain(pair) for pair in self.pairs],
            "tuning": [entry.model_dump(mode="json") for entry in self.tuning],
            "unfinished": self.unfinished,
            "failures": [failure.model_dump(mode="json") for failure in self.ledger.failures],
        }


def read_results(folder: Path) -> SuiteResults:
    """Read a suite's folder. Unfinished runs are only counted; unreadable ones are left out, with a line for each.

    Raises:
        KdzooError: the ledger, or the result of every run, cannot be read; the message names the file.
    """
    ledger, tuning = read_ledger(folder)
    runs: dict[str, Recorded] = {}
    left_out: dict[str, str] = {}
    origins: dict[str, Provenance] = {}
    for name in dict.fromkeys(run.folder for run in ledger.runs):
        try:
            place = inside(folder, name)
            runs[name] = recorded(place)
            if runs[name].result is not None:
                for one in _provenance(place):
                    origins[name] = one
        except KdzooError as error:
            left_out[name] = f"The run {shortened(name, quoted=False)} is left out: {error}"
    if left_out and not any(run.result for run in runs.values()):
        raise KdzooError(
            f"{folder}: no run of the suite has a result that can be read. {next(iter(left_out.values()))}"
        )
    pairs = []
    for pair in ledger.pairs:
        ended = [
            (run, result)
            for run in ledger.runs
            if run.pair == pair and run.folder in runs and (result := runs[run.folder].result) is not None
        ]
        scores = []
        for run, result in ended:
            try:
                scores.append(Score.of(run.entry, run.seed, result, ledger.headline, ledger.columns))
            except KdzooError as error:
                left_out[run.folder] = f"The run {shortened(run.folder, quoted=False)} is left out: {error}"
        pairs.append(
            PairResults(
                pair,
                tuple(leaderboard(scores, ledger.baseline)),
                teacher_accuracy(scores),
                _teacher_seconds({result.teacher_path for _, result in ended if result.teacher_path}),
                ledger.headline,
                ledger.columns,
                **(_comparisons(ledger, pair, scores) if ledger.headline == HEADLINE else {}),
                inflation=_inflation((run.entry, runs[run.folder]) for run, _ in ended),
                devices=_devices(origins[run.folder] for run, _ in ended if run.folder in origins),
            )
        )
    provenances = list(origins.values())
    return SuiteResults(
        folder=folder,
        ledger=ledger,
        tuning=tuning,
        pairs=tuple(pairs),
        runs=runs,
        left_out=tuple(left_out.values()),
        provenance=tuple({one.origin: one for one in provenances}.values()),
        data_hashes=_data_hashes(provenances),
        unfinished=sum(run.result is None for run in runs.values()),
    )


def _comparisons(ledger: Ledger, pair: str, scores: Sequence[Score]) -> dict[str, Any]:
    """Accuracies by entry and seed, and how they compare with published ones."""
    accuracies: dict[str, dict[int, float]] = {}
    for score in scores:
        accuracies.setdefault(score.entry, {})[score.seed] = score.last
    published = {
        entry: figure
        for entry in accuracies
        if (figure := preferred([one for one in ledger.published if (one.method, one.pair) == (entry, pair)]))
    }
    reproduced = {
        entry: reproduction(list(accuracies[entry].values()), figure.value, figure.runs)
        for entry, figure in published.items()
        if not ledger.changed
    }
    return {"accuracies": accuracies, "published": published, "reproduced": reproduced}


def _devices(origins: Iterable[Provenance]) -> tuple[str, ...]:
    return tuple(sorted({one.machine.speed for one in origins}))


def _inflation(runs: Iterable[tuple[str, Recorded]]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for entry, run in runs:
        values = series(run).get(VALIDATION, {})
        if len(values) > 1:
            found.setdefault(entry, []).append(max(values.values()) - values[max(values)])
    return {entry: fmean(values) for entry, values in found.items()}


def _plain(pair: PairResults) -> dict[str, Any]:
    figures = {entry: figure.model_dump(mode="json") for entry, figure in pair.published.items()}
    return {**asdict(replace(pair, published={})), "published": figures}


def _provenance(folder: Path) -> list[Provenance]:
    """The run's provenance; empty if it cannot be read, since the accuracies do not depend on it."""
    try:
        return [read_provenance(folder)]
    except KdzooError:
        return []


def _teacher_seconds(paths: Iterable[str]) -> float | None:
    """Training time of the only teacher, if it is in the cache; ``paths`` are those of the teachers' weights."""
    found = []
    for path in paths:
        try:
            result = recorded(inside(cache_folder(), str(Path(path).parent))).result
        except KdzooError:  # trained on another machine, or weights of the user
            continue
        found += [result.seconds] if result is not None else []
    return found[0] if len(found) == 1 else None


def _data_hashes(provenances: Sequence[Provenance]) -> tuple[str, ...]:
    """Hashes of the runs' data. Those without training images are compared with each other."""
    found: dict[bool, set[str]] = {False: set(), True: set()}
    for one in provenances:
        found[one.data.withheld].add(one.data.content or one.data.hash)
    different = [hashes for hashes in found.values() if len(hashes) > 1]
    return tuple(sorted(set().union(*different) if different else found[False] or found[True]))
