"""The statistics of a suite: pure functions from accuracies to rows.

Intervals are two-sided 95% intervals for a mean over seeds, from Student's t with n - 1 degrees of freedom:
half width t(0.975, n - 1) s / sqrt(n). They cover the variation over seeds, not over test images. Differences
are computed per seed and then treated in the same way (the paired t interval).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from kdzoo.bench.recorded import HEADLINE, Result
from kdzoo.errors import KdzooError, UnknownName

TUNED = " (tuned)"
"""The end of a tuned entry's name; before it stands the method's."""


@dataclass(frozen=True)
class Score:
    """The result of one run of an entry.

    Attributes:
        entry: its line in the leaderboard.
        seed: its seed.
        last: the headline, usually the accuracy in percent on the test split, at the last epoch.
        chosen: that accuracy at the epoch chosen by validation; None without validation.
        teacher: the teacher's, on the same split; None without a teacher.
        seconds: wall time of the run, without the teacher's training.
        process_seconds: processor time of the run.
        memory_mb: peak memory of the run.
        parameters: of the student.
        plugins: the distributions that provided its components -> their versions.
        columns: the suite's further figures; None where the run has none.
        saved: seconds that a teacher would have taken for the answers that the run replayed.
    """

    entry: str
    seed: int
    last: float
    chosen: float | None
    teacher: float | None
    seconds: float
    process_seconds: float
    memory_mb: float
    parameters: int
    plugins: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, float | None] = field(default_factory=dict)
    saved: float = 0.0

    @classmethod
    def of(
        cls, entry: str, seed: int, result: Result, headline: str = HEADLINE, columns: Sequence[str] = ()
    ) -> Score:
        """From the result in the last row of a ``metrics.jsonl``.

        Raises:
            KdzooError: the result lacks the headline.
        """
        value = result.figure(headline)
        if value is None and headline == HEADLINE:
            way = "; students without a classifier are compared by headline: test/knn"
            raise KdzooError(
                f"{entry}, seed {seed}: no test accuracy, so there is nothing to compare"
                f"{way if result.figure('test/knn') is not None else ''}"
            )
        if value is None:
            known = [name for name in result.plain() if "/" in name]
            raise KdzooError(str(UnknownName("figure", headline, known, of="the result")))
        return cls(
            entry,
            seed,
            last=value,
            chosen=result.chosen,
            teacher=result.teacher,
            seconds=result.seconds,
            process_seconds=result.process_seconds,
            memory_mb=result.peak_memory_mb,
            parameters=result.parameters,
            plugins=result.plugins,
            columns={name: result.figure(name) for name in columns},
            saved=result.figure("teacher/seconds_saved") or 0.0,
        )


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` seeds, with the half width of its 95% interval; None for a single seed."""

    mean: float
    half_width: float | None
    n: int

    @property
    def low(self) -> float:
        """The lower end of the interval, or the mean without one."""
        return self.mean - (self.half_width or 0.0)

    @property
    def high(self) -> float:
        """The upper end of the interval, or the mean without one."""
        return self.mean + (self.half_width or 0.0)

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.half_width is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Row:
    """A line of the leaderboard; accuracies are in percent on the test split.

    Attributes:
        entry: a method, or a tuned one.
        seeds: the finished seeds.
        last: the headline, usually the accuracy at the last epoch.
        chosen: accuracy at the epoch chosen by validation; None unless every seed has it.
        difference: ``last`` minus that of ``against``, over the common seeds; None for the baseline.
        against: the entry that it is compared with; see :func:`reference`.
        seconds: wall time, mean over the runs.
        process_seconds: processor time, mean over the runs.
        memory_mb: largest peak memory of the runs.
        parameters: of the student.
        source: the distributions that provided its components, with versions; the core only if it is the only
            one.
        columns: the suite's further figures; None unless every seed has them.
        saved: seconds that a teacher would have taken for the answers that were replayed, mean over the runs.
    """

    entry: str
    seeds: tuple[int, ...]
    last: Estimate
    chosen: Estimate | None
    difference: Estimate | None
    seconds: float
    process_seconds: float
    memory_mb: float
    parameters: int
    source: str = ""
    columns: Mapping[str, Estimate | None] = field(default_factory=dict)
    saved: float = 0.0
    against: str | None = None


def reference(entry: str, entries: Collection[str], baseline: str) -> str | None:
    """The baseline that ``entry`` is compared with; None for the baseline itself, and where there is none.

    A tuned entry is compared with the tuned baseline, where the suite has one.
    """
    tuned = baseline + TUNED
    fair = tuned if entry.endswith(TUNED) and entry != tuned and tuned in entries else baseline
    return fair if fair in entries and fair != entry else None


def references(rows: Sequence[Row]) -> list[str]:
    """The entries that others are compared with: the baseline, and the tuned one where the suite has it."""
    return list(dict.fromkeys(row.against for row in rows if row.against is not None))


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of one or more values, and its 95% interval if there are two or more."""
    n = len(values)
    if n < 2:
        return Estimate(fmean(values), None, n)
    from scipy.special import stdtrit  # type: ignore[import-untyped]  # scipy has no types; half a second to import

    return Estimate(fmean(values), float(stdtrit(n - 1, 0.975)) * stdev(values) / math.sqrt(n), n)


def leaderboard(scores: Sequence[Score], baseline: str) -> list[Row]:
    """One row for each entry, best mean first.

    Args:
        scores: the finished runs of one pair.
        baseline: the entry that is subtracted in differences; of tuned entries, the tuned baseline.
    """
    by_entry: dict[str, dict[int, Score]] = {}
    for score in scores:
        by_entry.setdefault(score.entry, {})[score.seed] = score
    rows = [_row(entry, by_entry, reference(entry, by_entry, baseline)) for entry in by_entry]
    return sorted(rows, key=lambda row: -row.last.mean)


def teacher_accuracy(scores: Sequence[Score]) -> float | None:
    """The teacher's accuracy in percent on the test split, as the students' runs measured it."""
    found = [score.teacher for score in scores if score.teacher is not None]
    return fmean(found) if found else None


def _row(entry: str, by_entry: Mapping[str, Mapping[int, Score]], against: str | None) -> Row:
    runs, others = by_entry[entry], by_entry[against] if against is not None else {}
    ordered = [runs[seed] for seed in sorted(runs)]
    chosen = [score.chosen for score in ordered if score.chosen is not None]
    paired = [score.last - others[score.seed].last for score in ordered if score.seed in others]
    return Row(
        entry,
        tuple(score.seed for score in ordered),
        last=estimate([score.last for score in ordered]),
        chosen=estimate(chosen) if len(chosen) == len(ordered) else None,
        difference=estimate(paired) if paired else None,
        seconds=fmean(score.seconds for score in ordered),
        process_seconds=fmean(score.process_seconds for score in ordered),
        memory_mb=max(score.memory_mb for score in ordered),
        parameters=ordered[0].parameters,
        source=_source(ordered),
        columns={name: _column(ordered, name) for name in ordered[0].columns},
        saved=fmean(score.saved for score in ordered),
        against=against,
    )


def _column(scores: Sequence[Score], name: str) -> Estimate | None:
    found = [value for score in scores if (value := score.columns.get(name)) is not None]
    return estimate(found) if len(found) == len(scores) else None


def _source(scores: Sequence[Score]) -> str:
    found = {name: version for score in scores for name, version in score.plugins.items()}
    if len(found) > 1:
        found.pop("kdzoo", None)
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))
