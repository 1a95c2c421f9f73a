"""Who is told what happens in a run. Light on purpose: importing this does not import torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Job:
    """What a run is for.

    Attributes:
        name: a readable name, unique within its suite.
        kind: ``student``, ``teacher`` or ``baseline``.
        suite: the suite that it belongs to; None for a single run.
        tags: method, data set, pair.
    """

    name: str
    kind: str = "student"
    suite: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """Something that happened; read-only."""


@dataclass(frozen=True)
class RunStarted(Event):
    """The run's folder is ready.

    Attributes:
        folder: the run's folder.
        job: what the run is for.
        recipe: the resolved recipe as plain nested data.
        resumed: whether a checkpoint was found and is continued.
    """

    folder: Path
    job: Job
    recipe: Mapping[str, Any]
    resumed: bool = False


@dataclass(frozen=True)
class Preparing(Event):
    """Long work before training goes on: ``done`` of ``total``, such as images decoded. For progress bars."""

    label: str
    done: int
    total: int


@dataclass(frozen=True)
class PhaseStarted(Event):
    """A phase begins, or goes on after a resume. ``steps`` is the number of steps of an epoch, if known."""

    phase: str
    epochs: int
    steps: int | None
    epoch: int = 0


@dataclass(frozen=True)
class StepsDone(Event):
    """Some steps are done (not one event a step). Counted from the start of the epoch; for progress bars."""

    phase: str
    epoch: int
    step: int


@dataclass(frozen=True)
class StepFigures(Event):
    """The figures of one step, for an observer that asks for them by :attr:`Observer.figures_every`.

    Attributes:
        phase: the phase's name.
        epoch: as in :class:`EpochEnded`.
        step: counted from 1 over the whole run.
        metrics: name -> value of this step in the main process: ``train/task``, ``train/teach``, ``lr``.
    """

    phase: str
    epoch: int
    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class EpochEnded(Event):
    """One epoch is over and evaluated.

    Attributes:
        phase: the phase's name.
        epoch: 1 for the first epoch of the run; counts on over phases, so that curves have one x axis.
        metrics: name -> value: ``train/task``, ``train/teach``, ``val/accuracy`` (percent), ``lr``, ``seconds``.
    """

    phase: str
    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Pictured(Event):
    """An image to show: a PNG. ``path`` begins with the run's folder, as :attr:`RunStarted.folder` does."""

    name: str
    path: Path
    epoch: int


@dataclass(frozen=True)
class Noted(Event):
    """Something that is good to know, such as the classes that were found; nothing is wrong."""

    message: str


@dataclass(frozen=True)
class Warned(Event):
    """A warning; the run continues."""

    message: str


@dataclass(frozen=True)
class RunEnded(Event):
    """The run is complete.

    Attributes:
        folder: the run's folder, with ``student/`` and ``provenance.json`` written.
        result: the last row of ``metrics.jsonl``: accuracies, seconds, memory, parameters.
    """

    folder: Path
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFailed(Event):
    """The run stopped with an error; its checkpoint is kept."""

    error: str


@dataclass(frozen=True)
class RunStopped(Event):
    """A signal stopped the run; it can be resumed from its checkpoint."""

    why: str


class Observer(ABC):
    """Receives events. One that raises is reported once and dropped; the run goes on.

    Settings are arguments of ``__init__``, typed like hyper-parameters; a recipe sets them by
    ``observers: [{name: NAME, KEY: VALUE}]``, and a command by ``--set observers.NAME.KEY=VALUE``.
    """

    name: ClassVar[str]

    figures_every: int | None = None
    """It is told :class:`StepFigures` every so many steps; None: never. ``__init__`` may set it, from a setting.

    On a GPU each event makes the training wait for the step to end; nobody waits where no observer asks."""

    exempt: ClassVar[Mapping[str, str]] = {}
    """``check`` or ``check:item`` of the conformance kit -> the reason why this component is exempt from it."""

    @abstractmethod
    def observe(self, event: Event) -> None:
        """Called for each event, in order, in the main process only."""

    def close(self) -> None:
        """Called once at the end, also after a failure."""
