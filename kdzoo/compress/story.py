"""``report.md`` and ``report.html``: the whole story of a compression."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kdzoo.bench.markdown import table
from kdzoo.bench.progress import duration
from kdzoo.bench.words import number
from kdzoo.compress.record import Record
from kdzoo.files import write_text
from kdzoo.markdown import code_block, markdown_text
from kdzoo.page import render_page

HTML, MARKDOWN = "report.html", "report.md"

HEADINGS = "entry", "accuracy, %", "minus plain", "seeds", "seconds of a run"


class Chapter(NamedTuple):
    """A part of the story: sentences, and perhaps a table or commands."""

    title: str
    sentences: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    commands: Sequence[str] = ()


def write_story(folder: Path, record: Record, survey: Sequence[str], command: str) -> Path:
    """Write both files.

    Args:
        folder: of the compression.
        record: finished.
        survey: what was found in the folder of pictures.
        command: the command line.

    Returns:
        The path of the HTML file.
    """
    told = list(chapters(folder, record, survey, command))
    title = "Is distillation worth it on these pictures?"
    write_text(folder / MARKDOWN, _markdown(title, told))
    page = render_page("kdzoo.compress", "story.html.jinja", title=title, chapters=told, headings=HEADINGS)
    write_text(folder / HTML, page)
    return folder / HTML


def chapters(folder: Path, record: Record, survey: Sequence[str], command: str) -> Iterator[Chapter]:
    """The story in order: the answer first."""
    found = record.results
    rows = [_row(one) for one in found["rows"]]
    teacher = found["teacher"]
    about = [] if teacher is None else [f"The teacher reaches {number(teacher)} % on the test pictures."]
    about += [
        "Accuracies are those of the last epoch on the test pictures, which are read once, at the end of each run; "
        "± is half of the 95% interval over seeds. The winner was chosen by validation pictures alone. Seconds are "
        "those of a run, without the teacher's training."
    ] * bool(rows)
    yield Chapter("The answer", [*found["verdict"], *about], rows)
    yield Chapter("The student", list(taken(record)), commands=next_steps(folder, record))
    yield Chapter("What it cost", list(cost(record)))
    yield Chapter(
        "What was tried", [*record.plan.lines(), *(one for stage in record.stages for one in stage.said)]
    )
    yield Chapter("The pictures", survey)
    if found["failures"]:
        yield Chapter("What failed", found["failures"])
    yield Chapter(
        "Again", ["The same command in the same folder goes on where it was stopped."], commands=[command]
    )


def taken(record: Record) -> Iterator[str]:
    """Which network was exported, and how its file was checked."""
    found = record.results
    own, foot = found["taken"], found["footprint"]
    model = found["winner"]["student"]
    accuracy = "" if own["accuracy"] is None else f", {number(own['accuracy'])} % on the test pictures"
    why = "the entry and the seed with the highest validation accuracy" if own["by"] else "the winner"
    yield f"{model} by {own['entry']}, seed {own['seed']}{accuracy}: {why}."
    yield f"{found['parameters']:,} parameters; {found['file']} has {foot['megabytes']:.2f} MB."
    yield f"Latency of the file: {foot['milliseconds']:.2f} ms ({foot['conditions']})."
    same = "the same class for" if own["accuracy"] is not None else "a mean cosine similarity of"
    yield (
        f"Compared with torch on {found['pictures']}: largest difference {found['difference']:.2g}, {same} "
        f"{found['agreement']:.4g} %."
    )


def cost(record: Record) -> Iterator[str]:
    """Where the time went."""
    budget = record.request["budget"]
    over = record.spent - budget
    beside = f"{duration(over)} more than" if over > 0 else "within"
    yield f"{duration(record.spent)} in all, {beside} the budget of {duration(budget)}."
    for stage in record.stages:
        if stage.seconds is not None:
            yield f"{stage.name}: {duration(stage.seconds)}, expected {duration(stage.expected)}."


def next_steps(folder: Path, record: Record) -> list[str]:
    """Commands to go on with."""
    file = folder / record.results["file"]
    steps = [f"kdzoo predict {file} PICTURES..."]
    if record.plan.labelled:
        steps.append(f"kdzoo evaluate {file} --data-dir DIR")
    else:
        steps = [f"kdzoo predict {file} PICTURES... --features features.npy"]
    return steps


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    def spread(value: float | None, half: float | None, *, signed: bool = False) -> str:
        width = "" if half is None else f" ± {number(half)}"
        return "" if value is None else f"{number(value, signed=signed)}{width}"

    return (
        one["entry"],
        spread(one["accuracy"], one["half_width"]),
        spread(one["points"], one["points_half_width"], signed=True),
        str(one["seeds"]),
        f"{one['seconds']:.0f}",
    )


def _markdown(title: str, told: Sequence[Chapter]) -> str:
    parts = [f"# {title}"]
    for chapter in told:
        parts.append(f"## {chapter.title}")
        parts += [markdown_text(one) for one in chapter.sentences]
        parts += [table(HEADINGS, chapter.rows)] if chapter.rows else []
        parts += [code_block("\n".join(chapter.commands))] if chapter.commands else []
    return "\n\n".join(parts) + "\n"
