"""A listener that tells the run's observers what happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from torch import Tensor

from kdzoo.api.algorithm import Phase
from kdzoo.api.batch import Batch
from kdzoo.api.observer import EpochEnded, Event, PhaseStarted, StepsDone
from kdzoo.api.run import Run
from kdzoo.engine.listeners import Listener, Moment

_SECONDS_BETWEEN_TICKS = 0.2


class Reporter(Listener):
    """Phases and epochs as events, and at most five times per second the number of finished steps.

    Args:
        notify: gets the events.
        label: what every phase is called; default: its own name.
    """

    def __init__(self, notify: Callable[[Event], None], label: str | None = None) -> None:
        self._notify = notify
        self._label = label
        self._ticked_at = 0.0

    def phase_began(self, run: Run, phase: Phase, steps: int, epoch: int) -> None:
        """Tell of the phase."""
        self._notify(PhaseStarted(self._label or phase.name, phase.epochs, steps, epoch))

    def step_ended(self, run: Run, batch: Batch, figures: Mapping[str, Tensor], moment: Moment) -> None:
        """Tell how far the epoch has come, if the last time was long ago."""
        now = time.monotonic()
        if now - self._ticked_at > _SECONDS_BETWEEN_TICKS:
            self._ticked_at = now
            self._notify(StepsDone(self._label or moment.phase, moment.epoch, moment.step))

    def epoch_ended(self, run: Run, phase: Phase, epoch: int, figures: Mapping[str, float]) -> None:
        """Tell the epoch's figures."""
        self._notify(EpochEnded(self._label or phase.name, epoch, figures))
