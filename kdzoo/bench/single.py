"""Reading the folder of a single run."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kdzoo.bench.curves import Series, series
from kdzoo.bench.progress import duration
from kdzoo.bench.recorded import (
    PictureRow,
    Provenance,
    RecipeRow,
    Recorded,
    Result,
    read_provenance,
    recorded,
)
from kdzoo.bench.words import about_data, number, several
from kdzoo.errors import KdzooError
from kdzoo.files import inside
from kdzoo.jobs.named import FIGURES, named_figures

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """A PNG of a run: ``path`` is relative to the run's folder, ``content`` are its bytes."""

    name: str
    epoch: int
    path: str
    content: bytes

    @property
    def embedded(self) -> str:
        """Its content as a URL, for a self-contained page."""
        return "data:image/png;base64," + base64.b64encode(self.content).decode()


@dataclass(frozen=True)
class SingleRun:
    """One run, read from its folder.

    Attributes:
        name: the job's name.
        what: method, networks, data and length, in one line.
        alerts: why the numbers are not final, if so, and what cannot be read.
        facts: its result: name and value as text.
        series: metric -> epoch -> value.
        pictures: the last picture of each name.
        recipe: ``recipe.yaml`` as text.
        provenance: ``provenance.json``; None if the run is not finished or it cannot be read.
    """

    name: str
    what: str
    alerts: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    series: Mapping[str, Series]
    pictures: tuple[Picture, ...]
    recipe: str
    provenance: Provenance | None


def read_run(folder: Path) -> SingleRun:
    """Read a run's folder, finished or not.

    Raises:
        KdzooError: its journal cannot be read, or its result is invalid.
    """
    run = recorded(folder)
    faults = list(run.faults)

    def known(read: Callable[[], Any], otherwise: Any) -> Any:
        """What ``read`` returns; if it fails, ``otherwise`` and a line among the faults."""
        try:
            return read()
        except KdzooError as error:
            faults.append(f"{error}; it is left out")
            return otherwise

    drawn = {row.name: row for row in run.pictures}.values()
    pictures = [known(partial(_picture, folder, row), None) for row in drawn]
    recipe = known(partial(_text, folder / "recipe.yaml"), "")
    provenance = known(partial(read_provenance, folder), None) if run.result else None
    return SingleRun(
        name=run.start.job.name if run.start else folder.resolve().name,
        what=_what(run.start.recipe) if run.start else "",
        alerts=(*faults, *(() if run.result else (_unfinished(run),))),
        facts=tuple(_facts(run.result)) if run.result else (),
        series=series(run),
        pictures=tuple(one for one in pictures if one is not None),
        recipe=recipe,
        provenance=provenance,
    )


def _picture(folder: Path, row: PictureRow) -> Picture | None:
    """The picture of a row; None if the file is missing.

    Raises:
        KdzooError: the path is outside the run's folder, or the file is not a PNG.
    """
    file = inside(folder, row.path)
    if not os.path.isfile(file):
        return None
    try:
        content = file.read_bytes()
    except OSError as error:
        raise KdzooError(f"{file}: {error.strerror or error}") from None
    if not content.startswith(_PNG):
        raise KdzooError(f"{file}: not a PNG")
    return Picture(row.name, row.epoch, file.relative_to(folder.resolve()).as_posix(), content)


def _what(recipe: RecipeRow) -> str:
    roles = recipe.roles
    networks = " to ".join(roles[role].model for role in ("teacher", "student") if role in roles)
    method = recipe.method or recipe.algorithm.name
    data = about_data({key: value for key, value in recipe.data.items() if key in ("dataset", "data_dir")})
    return f"{method}, {networks}, on {data}: {several(recipe.epochs, 'epoch')}, seed {recipe.seed}."


def _unfinished(run: Recorded) -> str:
    where = f"after epoch {run.epochs[-1].epoch}" if run.epochs else "before the end of its first epoch"
    return f"The run is not finished; it stopped {where}" + (
        f": {run.failures[-1].error}" if run.failures else "."
    )


def _facts(result: Result) -> list[tuple[str, str]]:
    facts = []
    if result.last is not None:
        facts.append(("test accuracy, last epoch", f"{number(result.last)} %"))
    if result.chosen is not None:
        facts.append(
            (f"test accuracy, epoch {result.epoch_chosen} chosen on val", f"{number(result.chosen)} %")
        )
    tested = {"test/teacher": result.teacher, **result.further}
    facts += [
        (f"test accuracy of {key.removeprefix('test/')}", f"{number(value)} %")
        for key, value in tested.items()
        if key.startswith("test/") and key not in FIGURES and value is not None
    ]
    if result.val_last is not None:
        facts.append(("validation accuracy, last epoch", f"{number(result.val_last)} %"))
    facts += [
        (key, number(value))
        for key, value in result.further.items()
        if not key.startswith(("test/", "val/", "epoch/")) and key not in FIGURES
    ]
    named = named_figures({"size/student/parameters": result.parameters, **result.further})
    return [
        *facts,
        *named,
        ("wall time", duration(result.seconds)),
        ("processor time", duration(result.process_seconds)),
        ("peak memory", f"{result.peak_memory_mb:.0f} MB"),
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise KdzooError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise KdzooError(f"{path}: not a text file") from None
