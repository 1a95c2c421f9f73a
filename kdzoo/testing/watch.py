"""A whole small run, watched step by step."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest import mock

from torch import nn

from kdzoo.api.batch import Batch, Output
from kdzoo.engine.run import TrainingRun
from kdzoo.engine.weights import weights_hash
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.model import Recipe
from kdzoo.testing.subject import Subject

_MEASURED = ("train/", "val/", "test/", "size/")
"""How the names of figures begin that are the same in another run; of the others the name counts alone."""

_READ = (".md", ".json")
"""Endings of files that are written to be read, with times in them."""

Look = Callable[[TrainingRun], None]
Around = Callable[[TrainingRun, str, Batch], AbstractContextManager[object]]


@dataclass(eq=False)
class Watched:
    """What became of a run.

    Attributes:
        run: when it had ended.
        result: the last row of its metrics.
        weights: role -> hash of what it weighs in the end, connectors included.
        left: what else the same recipe leaves again: figures of every epoch and of the end, the names of its
            pictures, the exported student's files; no seconds.

    """

    run: TrainingRun
    result: Mapping[str, Any]
    weights: Mapping[str, str] = field(default_factory=dict)
    left: Sequence[object] = ()

    @property
    def figures(self) -> dict[str, Any]:
        """What was measured of the networks in the end."""
        return {key: value for key, value in self.result.items() if key.startswith(("test/", "val/"))}


class Stop(BaseException):
    """As Ctrl-C, at a step of our choice."""


def watch(
    subject: Subject,
    *,
    look: Look | None = None,
    around: Around | None = None,
    stop_after: int | None = None,
    folder: Path | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Watched:
    """Run the subject's small recipe to its end.

    Args:
        subject: the component.
        look: called at the end of every step, before anything is dropped.
        around: makes a context in which a role answers a batch; what is merely remembered needs none.
        stop_after: interrupt the run after so many steps, and go on with it from its last checkpoint.
        folder: where to; default: one that is gone afterwards.
        changes: further keys of the recipe, dotted.

    """
    recipe = subject.recipe(**(changes or {}))
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="kdzoo-check-") as place:
            return _watched(subject, recipe, Path(place) / "run", look, around, stop_after)
    return _watched(subject, recipe, folder, look, around, stop_after)


def _watched(
    subject: Subject,
    recipe: Recipe,
    folder: Path,
    look: Look | None,
    around: Around | None,
    stop_after: int | None,
) -> Watched:
    runs: list[TrainingRun] = []
    steps = 0
    end_step, begin_phase, answer = TrainingRun.end_step, TrainingRun.begin_phase, TrainingRun._answer

    def ending(run: TrainingRun) -> None:
        nonlocal steps
        if look is not None:
            look(run)
        end_step(run)
        steps += 1
        if steps == stop_after:
            raise Stop

    def beginning(run: TrainingRun, *given: Any) -> None:
        if not runs or runs[-1] is not run:
            runs.append(run)
        begin_phase(run, *given)

    def answering(run: TrainingRun, role: str, *given: Any) -> Output:
        with nullcontext() if around is None else around(run, role, given[1]):
            return answer(run, role, *given)

    with (
        mock.patch.object(TrainingRun, "end_step", ending),
        mock.patch.object(TrainingRun, "begin_phase", beginning),
        mock.patch.object(TrainingRun, "_answer", answering),
    ):
        if stop_after is not None:
            with suppress(Stop):
                train(recipe, folder, zoo=subject.zoo)
            stop_after = None
        result = train(recipe, folder, zoo=subject.zoo, resume=True)
        return Watched(runs[-1], result, weights_of(runs[-1]), _left(folder))


def _left(folder: Path) -> list[object]:
    found: list[object] = []
    for row in read_journal(folder / "metrics.jsonl"):
        figures = row.get("metrics") or row.get("result") or {}
        found += [(key, figures[key] if key.startswith(_MEASURED) else None) for key in figures]
        if row["event"] == "picture":
            found.append(row["name"])
    for file in sorted((folder / "student").rglob("*")):
        if file.is_file() and file.suffix not in _READ:
            found.append((file.name, sha256(file.read_bytes()).hexdigest()))
    return found


def weights_of(run: TrainingRun) -> dict[str, str]:
    """Role -> hash of what it weighs, connectors included."""
    modules: dict[str, nn.Module] = dict(run.roles)
    modules |= {role.name: role.module for role in run.classroom.connectors.values()}
    return {name: weights_hash(module) for name, module in modules.items()}
