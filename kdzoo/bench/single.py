"""Reading the folder of a single run."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdzoo.bench.curves import Series, series
from kdzoo.bench.progress import duration
from kdzoo.bench.words import about_data, number, several
from kdzoo.errors import KdzooError
from kdzoo.observers.journal import read_journal


@dataclass(frozen=True)
class Picture:
    """A PNG of a run: ``file`` is its path, ``path`` is relative to the run's folder."""

    name: str
    epoch: int
    path: str
    file: Path

    @property
    def embedded(self) -> str:
        """Its content as a URL, for a self-contained page."""
        return "data:image/png;base64," + base64.b64encode(self.file.read_bytes()).decode()


@dataclass(frozen=True)
class SingleRun:
    """One run, read from its folder.

    Attributes:
        name: the job's name.
        what: method, networks, data and length, in one line.
        alerts: why the numbers are not final, if so.
        facts: its result: name and value as text.
        series: metric -> epoch -> value.
        pictures: the last picture of each name.
        recipe: ``recipe.yaml`` as text.
        provenance: ``provenance.json``; None if it is not finished.
    """

    name: str
    what: str
    alerts: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    series: Mapping[str, Series]
    pictures: tuple[Picture, ...]
    recipe: str
    provenance: Mapping[str, Any] | None


def read_run(folder: Path) -> SingleRun:
    """Read a run's folder, finished or not.

    Raises:
        KdzooError: a file in it cannot be read.
    """
    rows = read_journal(folder / "metrics.jsonl")
    start = next((row for row in rows if row.get("event") == "start"), {})
    results = [row["result"] for row in rows if row.get("event") == "result"]
    return SingleRun(
        name=start.get("job", {}).get("name", folder.resolve().name),
        what=_what(start.get("recipe", {})),
        alerts=() if results else (_unfinished(rows),),
        facts=tuple(_facts(results[-1])) if results else (),
        series=series(folder),
        pictures=tuple(_pictures(folder, rows)),
        recipe=_read(folder / "recipe.yaml"),
        provenance=json.loads(_read(folder / "provenance.json")) if results else None,
    )


def _pictures(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Iterator[Picture]:
    drawn = {row["name"]: row for row in rows if row.get("event") == "picture"}
    for name, row in drawn.items():
        if (folder / row["path"]).is_file():
            yield Picture(name, row["epoch"], row["path"], folder / row["path"])


def _what(recipe: Mapping[str, Any]) -> str:
    if not recipe:
        return ""
    roles = recipe["roles"]
    networks = " to ".join(roles[role]["model"] for role in ("teacher", "student") if role in roles)
    method = recipe["method"] or recipe["algorithm"]["name"]
    data = about_data({key: value for key, value in recipe["data"].items() if key in ("dataset", "data_dir")})
    return f"{method}, {networks}, on {data}: {several(recipe['epochs'], 'epoch')}, seed {recipe['seed']}."


def _unfinished(rows: Sequence[Mapping[str, Any]]) -> str:
    epochs = [row["epoch"] for row in rows if row.get("event") == "epoch"]
    failed = [row["error"] for row in rows if row.get("event") == "failed"]
    where = f"after epoch {epochs[-1]}" if epochs else "before the end of its first epoch"
    return f"The run is not finished; it stopped {where}" + (f": {failed[-1]}" if failed else ".")


def _facts(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [("test accuracy, last epoch", f"{number(result['test/last'])} %")]
    if result.get("test/chosen") is not None:
        facts.append(
            (
                f"test accuracy, epoch {result['epoch/chosen']} chosen on val",
                f"{number(result['test/chosen'])} %",
            )
        )
    facts += [
        (f"test accuracy of {key.removeprefix('test/')}", f"{number(value)} %")
        for key, value in result.items()
        if key.startswith("test/") and key not in ("test/last", "test/chosen")
    ]
    if result.get("val/last") is not None:
        facts.append(("validation accuracy, last epoch", f"{number(result['val/last'])} %"))
    facts += [
        (key, number(value))
        for key, value in result.items()
        if "/" in key and not key.startswith(("test/", "val/", "epoch/")) and isinstance(value, int | float)
    ]
    return [
        *facts,
        ("parameters of the student", f"{result['parameters']:,}"),
        ("wall time", duration(result["seconds"])),
        ("processor time", duration(result["process_seconds"])),
        ("peak memory", f"{result['peak_memory_mb']:.0f} MB"),
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise KdzooError(f"{path}: {error.strerror or error}") from None
