"""The end of a compression: the verdict, the student that is taken, its file and its report."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from kdzoo.bench.progress import duration
from kdzoo.bench.recorded import Result
from kdzoo.bench.results import SuiteResults
from kdzoo.bench.words import number
from kdzoo.compress.footprint import of_file
from kdzoo.compress.likeness import Likeness
from kdzoo.compress.record import Record
from kdzoo.compress.request import Request
from kdzoo.compress.suites import CHOICE, LONGER, PLAIN, Arm
from kdzoo.compress.survey import Survey
from kdzoo.compress.verdict import LEAST, about_test, judge
from kdzoo.errors import KdzooError
from kdzoo.files import write_text
from kdzoo.use.export import SUFFIXES, Exported, export
from kdzoo.use.opening import open_model
from kdzoo.use.samples import samples_for
from kdzoo.zoo import Zoo

_SAMPLES = 64
"""Pictures on which the exported file is compared with torch."""


def finish(
    request: Request,
    survey: Survey,
    record: Record,
    arm: Arm,
    results: SuiteResults,
    likeness: Likeness | None,
    output: Path,
    zoo: Zoo,
) -> dict[str, Any]:
    """Judge, choose, export; what the report needs, as plain data.

    Raises:
        KdzooError: no run has a result, or the student cannot be exported.
    """
    ended = {
        (run.entry, run.seed): (results.folder / run.folder, result)
        for run in results.ledger.runs
        if run.folder in results.runs and (result := results.runs[run.folder].result) is not None
    }
    if (arm.method, 0) not in ended:
        failed = next((one.error for one in results.ledger.failures), "it has no result")
        raise KdzooError(f"{results.folder}: the final of {arm.method} failed: {failed}")
    worth: str
    if likeness is None:
        verdict, (entry, seed) = list(_judged(survey, record, arm, results)), _chosen(ended)
        worth = judge(results.pairs[0].accuracies, arm.method).worth
    else:
        (entry, seed), worth = (arm.method, 0), "no labels"
        verdict = list(_unlabelled(likeness, arm, ended[entry, seed]))
    folder, result = ended[entry, seed]
    done = _exported(request, folder, output, verdict, zoo)
    return {
        "worth": worth,
        "verdict": verdict,
        "winner": {"student": arm.student, "method": arm.method},
        "rows": _rows(results),
        "teacher": result.teacher or (results.pairs[0].teacher if results.pairs else None),
        "taken": {
            "entry": entry,
            "seed": seed,
            "accuracy": result.last,
            "by": CHOICE if likeness is None else None,
        },
        "parameters": result.parameters,
        "file": done.path.name,
        "difference": done.difference,
        "agreement": done.agreement,
        "pictures": done.samples.what,
        "footprint": vars(of_file(done.model)),
        "failures": [f"{one.name}: {one.error}" for one in results.ledger.failures],
    }


def _judged(survey: Survey, record: Record, arm: Arm, results: SuiteResults) -> Iterator[str]:
    found = results.pairs[0].accuracies
    yield from judge(found, arm.method).lines()
    yield _cost(record, arm, results)
    yield from about_test(survey.test, fmean(found[arm.method].values()), cut=survey.cut)


def _cost(record: Record, arm: Arm, results: SuiteResults) -> str:
    """What distillation takes beside plain training."""
    seconds = {row.entry: row.seconds + row.saved for row in results.pairs[0].rows}
    before = {stage.name: stage.seconds for stage in record.stages if stage.seconds is not None}
    parts = [f"{duration(before['teacher'])} for the teacher"] if "teacher" in before else []
    search = sum(took for name, took in before.items() if name.startswith("rung"))
    parts += [f"{duration(search)} for the choice of student and method"] if search else []
    plain = f", a plain one {duration(seconds[PLAIN])}" if PLAIN in seconds else ""
    plain += f", one that was to take as long {duration(seconds[LONGER])}" if LONGER in seconds else ""
    said = f"a distilled run took {duration(seconds[arm.method])}{plain}"
    return (
        f"What it cost: {'; '.join([*parts, said])}. The student in use is as large and as fast either way."
    )


def _unlabelled(likeness: Likeness, arm: Arm, run: tuple[Path, Result]) -> Iterator[str]:
    folder, result = run
    own = likeness.of(folder / "student", report=True)
    random = likeness.of(arm.student, report=True)
    yield "No labels: nothing can be said about accuracy, nor whether distillation is worth it for a task."
    yield (
        f"A linear map of the student's features explains {number(own)} % of the variance of the teacher's on "
        f"{likeness.pictures} pictures that were not trained on and chose nothing; of the same network untrained, "
        f"{number(random)} %."
    )
    knn = result.figure("test/knn")
    if knn is not None:
        yield f"By its nearest neighbours, {number(knn)} % of the labelled test pictures are named rightly."


def _chosen(ended: dict[tuple[str, int], tuple[Path, Result]]) -> tuple[str, int]:
    """The entry of the highest mean validation accuracy, and its seed of the highest: no test picture decides."""
    entries: dict[str, dict[int, float]] = {}
    for (entry, seed), (_, result) in ended.items():
        if result.val_last is not None:
            entries.setdefault(entry, {})[seed] = result.val_last
    entry = max(entries, key=lambda name: fmean(entries[name].values()))
    return entry, max(entries[entry], key=lambda seed: (entries[entry][seed], -seed))


def _rows(results: SuiteResults) -> list[dict[str, Any]]:
    """Each entry of the final with its accuracies and its seconds."""
    rows = results.pairs[0].rows if results.pairs else ()
    return [
        {
            "entry": row.entry,
            "accuracy": row.last.mean,
            "half_width": row.last.half_width if len(row.seeds) >= LEAST else None,
            "seeds": len(row.seeds),
            "points": row.difference.mean if row.difference else None,
            "points_half_width": row.difference.half_width
            if row.difference and row.difference.n >= LEAST
            else None,
            "seconds": row.seconds + row.saved,
            "baseline": row.entry == PLAIN,
        }
        for row in rows
    ]


def _exported(request: Request, run: Path, output: Path, verdict: list[str], zoo: Zoo) -> Exported:
    """The student in timm's layout with its card, and as a file that was compared with torch."""
    opened = open_model(str(run), zoo=zoo)
    samples = samples_for(opened, {}, _SAMPLES, zoo)
    done = export(opened, request.to, output / f"student{SUFFIXES[request.to]}", samples, included=True)
    student = output / "student"
    try:
        shutil.rmtree(student, ignore_errors=True)
        shutil.copytree(run / "student", student)
    except OSError as error:
        raise KdzooError(f"{student}: cannot be written: {error.strerror or error}") from None
    card = student / "README.md"
    said = "\n\n".join(verdict)
    write_text(
        card, f"{card.read_text(encoding='utf-8').rstrip()}\n\n## Is distillation worth it here?\n\n{said}\n"
    )
    return done
