"""The folder of a run or of a suite as an object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import nn

from kdzoo.bench.leaderboard import Row
from kdzoo.bench.ledger import SUITE_FILE
from kdzoo.bench.results import SuiteResults, read_results
from kdzoo.errors import Fault, KdzooError
from kdzoo.files import inside
from kdzoo.observers.journal import read_journal
from kdzoo.python.frame import frame
from kdzoo.recipe.model import Recipe
from kdzoo.yaml_text import read_yaml


def load(folder: str | Path) -> LoadedRun | LoadedSuite:
    """What a run or a suite wrote, finished or not.

    Args:
        folder: that of a ``kdzoo distill`` or of a ``kdzoo bench``.

    Raises:
        KdzooError: it is neither, or cannot be read.
    """
    folder = Path(folder).expanduser()
    if (folder / SUITE_FILE).exists():
        return LoadedSuite(folder)
    if not (folder / "metrics.jsonl").exists():
        what = "holds no run and no suite" if folder.is_dir() else "no such folder"
        raise KdzooError(f"{folder}: {what}: a run has metrics.jsonl, a suite has {SUITE_FILE}")
    return LoadedRun(folder)


@dataclass(frozen=True)
class LoadedRun:
    """A run; it is read when an attribute is asked for.

    Attributes:
        folder: where it is.
    """

    folder: Path

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        return read_journal(self.folder / "metrics.jsonl")

    @property
    def result(self) -> Mapping[str, Any] | None:
        """Its figures, accuracies in percent: ``run.result["test/last"]``; None while it is not finished."""
        found: dict[str, Any] | None = None
        for row in self._rows:
            if row.get("event") == "result" and isinstance(row.get("result"), dict):
                found = row["result"]
        return found

    @property
    def metrics(self) -> Any:
        """One row for each epoch: ``phase``, ``epoch``, and its figures; a pandas DataFrame, or a list of dicts."""
        ended = (
            row for row in self._rows if row.get("event") == "epoch" and isinstance(row.get("metrics"), dict)
        )
        return frame(
            [{"phase": row.get("phase"), "epoch": row.get("epoch"), **row["metrics"]} for row in ended]
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What it warned of, in order."""
        return tuple(str(row.get("message")) for row in self._rows if row.get("event") == "warning")

    @cached_property
    def recipe(self) -> Recipe:
        """All that determined it.

        Raises:
            KdzooError: ``recipe.yaml`` is missing, or is not of this version.
        """
        path = self.folder / "recipe.yaml"
        try:
            return Recipe.model_validate(read_yaml(path))
        except ValidationError as error:
            raise KdzooError(f"{path}: {Fault.first(error)}") from None

    def student(self) -> nn.Module:
        """The student with its weights, in eval mode on the CPU.

        A timm model for normalised images; a program from images in [0, 1] where the method's student is more than a
        timm model. ``student/README.md`` has the preprocessing.

        Raises:
            KdzooError: there is none yet, or it cannot be read.
        """
        from kdzoo.python.student import open_student

        return open_student(self.folder / "student")


@dataclass(frozen=True)
class LoadedSuite:
    """A suite; it is read when an attribute is asked for.

    Attributes:
        folder: where it is.
    """

    folder: Path

    @cached_property
    def results(self) -> SuiteResults:
        """Everything, as the report is made of it."""
        return read_results(self.folder)

    @property
    def leaderboard(self) -> Any:
        """One row for each entry of each pair, best first; a pandas DataFrame, or a list of dicts.

        ``last`` is the headline, usually the test accuracy in percent at the last epoch, as the mean over ``seeds``
        seeds, and ``last_half`` half the width of its 95 % interval; ``chosen``, ``difference`` (to the baseline) and
        the suite's further columns likewise.
        """
        return frame([_flat(pair.pair, row) for pair in self.results.pairs for row in pair.rows])

    @cached_property
    def runs(self) -> Mapping[str, LoadedRun]:
        """Folder below the suite's -> its run, for every run that has begun."""
        places = {run.folder: inside(self.folder, run.folder) for run in self.results.ledger.runs}
        return {
            name: LoadedRun(place) for name, place in places.items() if (place / "metrics.jsonl").exists()
        }

    @property
    def failures(self) -> Mapping[str, str]:
        """Name of a failed run -> its error."""
        return {one.name: one.error for one in self.results.ledger.failures}

    @property
    def report(self) -> Path:
        """The page with all of it."""
        return self.folder / "report.html"


def _flat(pair: str, row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {"pair": pair, "entry": row.entry, "seeds": len(row.seeds)}
    estimates = {"last": row.last, "chosen": row.chosen, "difference": row.difference, **row.columns}
    for name, one in estimates.items():
        found[name] = None if one is None else one.mean
        found[f"{name}_half"] = None if one is None else one.half_width
    return {**found, "seconds": row.seconds, "memory_mb": row.memory_mb, "parameters": row.parameters}
