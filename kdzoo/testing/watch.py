"""A complete small run, observed step by step."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import nn

from kdzoo.api.batch import Batch
from kdzoo.api.run import Run
from kdzoo.engine.listeners import Listener, Moment
from kdzoo.engine.run import TrainingRun
from kdzoo.engine.weights import weights_hash
from kdzoo.jobs.train import train
from kdzoo.observers.journal import read_journal
from kdzoo.recipe.model import Recipe
from kdzoo.testing.subject import Subject

_MEASURED = ("train/", "val/", "test/", "size/")
"""Prefixes of figures that are equal in a repeated run; of other figures, only the names are compared."""

_READ = (".md", ".json")
"""Suffixes of text files, which may contain times."""


Weights = Mapping[str, str]
"""Role -> hash of its weights, including connectors."""


@dataclass(eq=False)
class Watched:
    """The outcome of a run.

    Attributes:
        run: the run after its end.
        result: the last row of its metrics.
        weights: its final weights.
        left: the other reproducible results: figures of every epoch and of the end, names of pictures, the
            exported student's files; no seconds.

    """

    run: TrainingRun
    result: Mapping[str, Any]
    weights: Weights = field(default_factory=dict)
    left: Sequence[object] = ()

    @property
    def figures(self) -> dict[str, Any]:
        """The final figures of the networks."""
        return {key: value for key, value in self.result.items() if key.startswith(("test/", "val/"))}


class Stop(BaseException):
    """As Ctrl-C, at a step of our choice."""


def watch(
    subject: Subject,
    *,
    listeners: Sequence[Listener] = (),
    stops: Sequence[int] = (),
    folder: Path | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Watched:
    """Run the subject's small recipe.

    Args:
        subject: the component.
        listeners: observe the run.
        stops: numbers of steps, ascending; after each the run is interrupted and resumed from its checkpoint.
        folder: the run's folder; default: a temporary one.
        changes: additional dotted keys of the recipe.

    """
    recipe = subject.recipe(**(changes or {}))
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="kdzoo-check-") as place:
            return _watched(subject, recipe, Path(place) / "run", listeners, stops)
    return _watched(subject, recipe, folder, listeners, stops)


def _watched(
    subject: Subject, recipe: Recipe, folder: Path, listeners: Sequence[Listener], stops: Sequence[int]
) -> Watched:
    done = 0
    for stop in stops:
        with suppress(Stop):
            train(
                recipe, folder, zoo=subject.zoo, resume=True, listeners=[*listeners, StopAfter(stop - done)]
            )
        done = stop
    keep = KeepRun()
    result = train(recipe, folder, zoo=subject.zoo, resume=True, listeners=[keep, *listeners])
    return Watched(keep.run, result, weights_of(keep.run), _left(folder))


def trained_weights(
    subject: Subject, changes: Mapping[str, Any], known: Sequence[Weights] | None = None
) -> Sequence[Weights]:
    """The weights before steps 1, 2, 4, 8, ... of the small recipe and after training; nothing is measured.

    Args:
        subject: the component.
        changes: additional dotted keys of the recipe.
        known: those of another run; this one ends where its weights first differ from them.
    """
    trail = Trail(known)
    with tempfile.TemporaryDirectory(prefix="kdzoo-check-") as place, suppress(Stop):
        train(subject.recipe(**changes), Path(place) / "run", zoo=subject.zoo, listeners=[trail])
    return trail.found


class KeepRun(Listener):
    """Keeps the observed run."""

    def __init__(self) -> None:
        self._run: TrainingRun | None = None

    def run_began(self, run: Run) -> None:
        """Keep it."""
        self._run = running(run)

    @property
    def run(self) -> TrainingRun:
        """The run, once it has begun."""
        assert self._run is not None
        return self._run


class Trail(Listener):
    """Notes the weights before steps 1, 2, 4, 8, ... and after training; interrupts the run before it is measured.

    Args:
        known: another run's; the run is interrupted where its weights first differ from them.
    """

    def __init__(self, known: Sequence[Weights] | None = None) -> None:
        self.found: list[Weights] = []
        self._known = known

    def step_began(self, run: Run, batch: Batch, moment: Moment) -> None:
        """Note them before a step whose number is a power of two."""
        if moment.total & (moment.total - 1) == 0:
            self._note(run)

    def run_ended(self, run: Run) -> None:
        """Note them and interrupt."""
        self._note(run)
        raise Stop

    def _note(self, run: Run) -> None:
        self.found.append(weights_of(running(run)))
        known, count = self._known, len(self.found)
        if known is not None and (count > len(known) or self.found[-1] != known[count - 1]):
            raise Stop


class StopAfter(Listener):
    """Interrupts the run at the beginning of the step after the ``steps``-th, or at the end of the run."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def step_began(self, run: Run, batch: Batch, moment: Moment) -> None:
        """Interrupt after enough steps."""
        if self._left == 0:
            raise Stop
        self._left -= 1

    def run_ended(self, run: Run) -> None:
        """Interrupt before anything is measured."""
        raise Stop


def running(run: Run) -> TrainingRun:
    """The engine's run, which has more than the interface for plugins."""
    assert isinstance(run, TrainingRun)
    return run


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
    """The hashes of the weights of its roles and connectors."""
    modules: dict[str, nn.Module] = dict(run.roles)
    modules |= {role.name: role.module for role in run.connectors.values()}
    return {name: weights_hash(module) for name, module in modules.items()}
