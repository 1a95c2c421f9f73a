"""A listener that tells the run's observers what happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from kdzoo.api.algorithm import Phase
from kdzoo.api.batch import Batch
from kdzoo.api.observer import EpochEnded, Event, PhaseStarted, StepFigures, StepsDone
from kdzoo.api.run import Run
from kdzoo.engine.listeners import Listener, Moment
from kdzoo.engine.run import TrainingRun

_SECONDS_BETWEEN_TICKS = 0.2


class Reporter(Listener):
    """Phases and epochs as events, and at most five times per second the number of finished steps.

    Args:
        notify: gets the events.
        label: what every phase is called; default: its own name.
        wants_figures: whether somebody asks for the figures of a step, by its number in the run.
    """

    def __init__(
        self,
        notify: Callable[[Event], None],
        label: str | None = None,
        wants_figures: Callable[[int], bool] = lambda step: False,
    ) -> None:
        self._notify = notify
        self._label = label
        self._wants_figures = wants_figures
        self._ticked_at = 0.0

    def phase_began(self, run: Run, phase: Phase, steps: int, epoch: int) -> None:
        """Tell of the phase."""
        self._notify(PhaseStarted(self._label or phase.name, phase.epochs, steps, epoch))

    def step_ended(self, run: Run, batch: Batch, figures: Mapping[str, Tensor], moment: Moment) -> None:
        """Tell how far the epoch has come, if the last time was long ago, and the step's figures, if asked."""
        if self._wants_figures(moment.total):
            self._notify(
                StepFigures(self._label or moment.phase, moment.epoch, moment.total, _plain(run, figures))
            )
        now = time.monotonic()
        if now - self._ticked_at > _SECONDS_BETWEEN_TICKS:
            self._ticked_at = now
            self._notify(StepsDone(self._label or moment.phase, moment.epoch, moment.step))

    def epoch_ended(self, run: Run, phase: Phase, epoch: int, figures: Mapping[str, float]) -> None:
        """Tell the epoch's figures."""
        self._notify(EpochEnded(self._label or phase.name, epoch, figures))


def _plain(run: Run, figures: Mapping[str, Tensor]) -> dict[str, float]:
    """The figures and the student's learning rate as numbers; on a GPU the host waits for them once."""
    values = [value.detach().float().to(run.device) for value in figures.values()]
    numbers = torch.stack(values).tolist() if values else []
    metrics = {f"train/{name}": number for name, number in zip(figures, numbers, strict=True)}
    lr = run.lr if isinstance(run, TrainingRun) else None
    return metrics if lr is None else {**metrics, "lr": lr}
