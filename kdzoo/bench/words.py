"""The sentences of a report that depend on its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kdzoo.bench.leaderboard import Row, references
from kdzoo.bench.ledger import Ledger, TunedEntry
from kdzoo.bench.recorded import HEADLINE
from kdzoo.bench.results import PairResults, SuiteResults

_REPLAYED = (
    "Runs replay answers of the teacher that another run recorded: seconds and teacher seconds saved together are "
    "what a run costs alone."
)
_FAIR = (
    "Tuned entries are compared with the tuned baseline; all others, and the tuned baseline itself, with the "
    "baseline's own settings."
)
_SURE = "the 95% interval of the difference excludes 0"


def number(value: float, signed: bool = False) -> str:
    """Two decimals, with a true minus sign."""
    return (f"{value:+.2f}" if signed else f"{value:.2f}").replace("-", "−")


def finding(pair: PairResults) -> str:
    """What the leaderboard shows: the best mean, and differences whose interval excludes 0."""
    best, unit = pair.rows[0], " %" if pair.headline == HEADLINE else f" ({pair.headline})"
    sentences = [f"{best.entry} has the highest mean, {number(best.last.mean)}{unit}."]
    compared = [row for row in pair.rows if row.difference is not None]
    if not compared:
        return sentences[0]
    if all(row.last.half_width is None for row in pair.rows):
        return f"{sentences[0]} With one seed the differences cannot be told from chance."
    sure = [row for row in compared if row.difference and row.difference.excludes_zero]
    for against in references(pair.rows):
        for word, sign in (("above", 1), ("below", -1)):
            rows = [row for row in sure if row.against == against and _sign(row) == sign]
            if rows:
                sentences.append(f"{_names(rows)} {_verb(rows)} {word} {against}: {_SURE}.")
    rest = len(compared) - len(sure)
    if rest:
        sentences.append(f"The 95% interval includes 0 for {_count(rest, len(compared))}.")
    if len(references(pair.rows)) > 1:
        sentences.append(_FAIR)
    return " ".join(sentences)


def about_teacher(pair: PairResults) -> str:
    """The teacher's accuracy and training time, and what is saved by replaying; empty without a teacher."""
    if pair.teacher is None:
        return ""
    took = "" if pair.teacher_seconds is None else f", trained once in {pair.teacher_seconds:.0f} s"
    said = f"The teacher reaches {number(pair.teacher)} % on the test split{took}."
    return f"{said} {_REPLAYED}" if pair.replays else said


def about_data(data: Mapping[str, Any]) -> str:
    """The data section in one line."""
    name = data.get("dataset", "digits")
    rest = [f"{key} {value}" for key, value in data.items() if key != "dataset" and value not in (None, {})]
    return ", ".join([str(name), *rest])


def same_runs(ledger: Ledger, tuned: TunedEntry) -> str | None:
    """The untuned entry with the same runs as a tuned one, because its settings won; None if there is none."""
    folders: dict[str, set[str]] = {}
    for run in ledger.runs:
        if run.pair == tuned.pair:
            folders.setdefault(run.entry, set()).add(run.folder)
    mine = folders.pop(tuned.entry, None)
    return next((entry for entry, others in folders.items() if others == mine), None)


def columns_left_out(headings: Iterable[str]) -> str:
    """Which columns a narrow terminal does not show, and where to find them."""
    return f"This terminal is too narrow for: {'; '.join(headings)}. The report has every column."


def several(count: int, thing: str) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def alerts(results: SuiteResults) -> list[str]:
    """Warnings that come before the numbers."""
    found = list(results.left_out)
    if results.unfinished:
        found.append(
            f"{results.unfinished} of {len(results.ledger.runs)} planned runs have not finished; "
            "the numbers do not include them."
        )
    if results.ledger.failures:
        found.append(f"{several(len(results.ledger.failures), 'run')} failed; see the end of this report.")
    if len(results.data_hashes) > 1:
        found.append("The runs used different data, so they must not be compared; see the hashes at the end.")
    if len(results.provenance) > 1:
        found.append(
            "The runs come from more than one machine or version of the code; see the end of this report."
        )
    found += [
        f"The runs of {pair.pair} were done on different devices, so times and memory are not compared: "
        f"{'; '.join(pair.devices)}."
        for pair in results.pairs
        if not pair.compares_cost
    ]
    return found


def _count(part: int, whole: int) -> str:
    if whole == 1:
        return "the other entry"
    if part == whole:
        return "both others" if whole == 2 else f"all {whole} others"
    return "one of the others" if part == 1 else f"{part} of the {whole} others"


def _sign(row: Row) -> int:
    return 0 if row.difference is None else 1 if row.difference.mean > 0 else -1


def _names(rows: Sequence[Row]) -> str:
    names = [row.entry for row in rows]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _verb(rows: Sequence[Row]) -> str:
    return "is" if len(rows) == 1 else "are"
