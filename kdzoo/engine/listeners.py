"""The single interface for observing a running recipe, so that nobody has to patch it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Concatenate, ParamSpec

from torch import Tensor

from kdzoo.api.algorithm import Phase
from kdzoo.api.batch import Batch, Output
from kdzoo.api.run import Run

Told = ParamSpec("Told")


@dataclass(frozen=True)
class Moment:
    """The position in the run.

    Attributes:
        phase: the phase's name.
        epoch: counted from 1 over all phases.
        step: counted from 1 within the epoch.
        total: counted from 1 over all phases.
    """

    phase: str
    epoch: int
    step: int
    total: int


class Listener:
    """Override the methods for the events that you need; by default they do nothing.

    A listener must not change anything. An exception in it ends the run. Progress, the journal, the conformance
    kit and tests are listeners: ``train(recipe, folder, zoo=zoo, listeners=[mine])``.
    """

    def run_began(self, run: Run) -> None:
        """The roles are enrolled; nothing has been trained in this process."""

    def run_ended(self, run: Run) -> None:
        """The last phase is over; nothing has been measured. Not called after an error."""

    def phase_began(self, run: Run, phase: Phase, steps: int, epoch: int) -> None:
        """``steps`` in an epoch; ``epoch`` is the first one that is trained, above 0 after a resume."""

    def phase_ended(self, run: Run, phase: Phase) -> None:
        """Every epoch of the phase is over."""

    def epoch_ended(self, run: Run, phase: Phase, epoch: int, figures: Mapping[str, float]) -> None:
        """``epoch`` counts from 1 over all phases; the figures are those of the metrics."""

    def step_began(self, run: Run, batch: Batch, moment: Moment) -> None:
        """The learning rates are set and the knowledge is built."""

    def step_ended(self, run: Run, batch: Batch, figures: Mapping[str, Tensor], moment: Moment) -> None:
        """Every update is done; the step's outputs are still stored, and ``Scheme.after_step`` was not called yet."""

    def asked(self, run: Run, role: str, batch: Batch) -> None:
        """``role`` is about to compute its output; not called for a stored output."""

    def seen(self, run: Run, role: str, batch: Batch, output: Output) -> None:
        """``role`` has computed its output."""

    def taught(self, run: Run, batch: Batch, loss: Tensor) -> None:
        """``run.teach`` returns this loss."""

    def updated(self, run: Run, loss: Tensor, roles: Sequence[str]) -> None:
        """``run.update`` has changed these roles."""


class Listeners:
    """The listeners of one run, told in order: ``listeners.tell(Listener.seen, role, batch, output)``."""

    def __init__(self, run: Run, listeners: Sequence[Listener]) -> None:
        self._run = run
        self._listeners = tuple(listeners)

    def tell(
        self,
        event: Callable[Concatenate[Listener, Run, Told], None],
        *told: Told.args,
        **more: Told.kwargs,
    ) -> None:
        """Call this method of each listener with the run and the arguments."""
        for one in self._listeners:
            getattr(one, event.__name__)(self._run, *told, **more)
