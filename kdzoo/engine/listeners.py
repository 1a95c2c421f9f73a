"""The one seam of a running recipe: whoever watches it is told here, and nobody patches it."""

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
    """Where the run stands.

    Attributes:
        phase: the phase's name.
        epoch: counted from 1 over all phases.
        step: counted from 1 within the epoch.
    """

    phase: str
    epoch: int
    step: int


class Listener:
    """Override what you want to hear of; each method does nothing by default.

    A listener looks and changes nothing. What it raises ends the run. Progress, the journal, the conformance kit and
    tests are listeners: ``train(recipe, folder, zoo=zoo, listeners=[mine])``.
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
        """Every update is done; what was seen in the step is still known, the scheme has not followed."""

    def asked(self, run: Run, role: str, batch: Batch) -> None:
        """``role`` is about to compute its answer; what is remembered is not asked again."""

    def seen(self, run: Run, role: str, batch: Batch, output: Output) -> None:
        """``role`` has computed its answer."""

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
        """Call this method of each listener with the run and what is told."""
        for one in self._listeners:
            getattr(one, event.__name__)(self._run, *told, **more)
