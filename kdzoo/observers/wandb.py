"""Logs a run to Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from kdzoo.api.observer import (
    EpochEnded,
    Event,
    Observer,
    Pictured,
    RunEnded,
    RunFailed,
    RunStarted,
    RunStopped,
)
from kdzoo.errors import KdzooError
from kdzoo.observers.journal import row_of
from kdzoo.observers.wandb_client import Lost, TrackedRun, disabled, in_sweep
from kdzoo.observers.wandb_networks import networks_of
from kdzoo.observers.wandb_run import warn


class Wandb(Observer):
    """One wandb run per run, with ``epoch`` as the x axis; see ``docs/wandb.md`` for what is logged.

    The process that talks to wandb is given the rows of ``metrics.jsonl``. Where it is lost, the run is logged again
    out of that file, once.
    """

    name: ClassVar[str] = "wandb"
    exempt: ClassVar[Mapping[str, str]] = {"events": "it would log the made-up events to wandb"}

    def __init__(self) -> None:
        self._run: TrackedRun | None = None
        self._started: RunStarted | None = None

    def observe(self, event: Event) -> None:
        """Log the event, if wandb shows events of this class."""
        match event:
            case RunStarted() if not disabled() and not (event.job.kind == "teacher" and in_sweep()):
                self._started = event
                self._run = TrackedRun()
                self._send(event)
            case EpochEnded() | Pictured():
                self._send(event)
            case RunEnded() | RunFailed() | RunStopped():
                self._end(event)

    def close(self) -> None:
        """End the wandb run as failed, unless it has ended."""
        self._end(RunFailed("closed"))

    def _send(self, event: Event) -> None:
        if self._run is None or self._started is None:
            return
        folder, here = self._started.folder, str(self._started.folder.absolute())
        row = {**(row_of(event, folder) or {}), "folder": here, "into": here}
        if isinstance(event, RunEnded):
            teacher = event.result.get("teacher_path")
            row["networks"] = networks_of(
                self._started.job.name,
                self._started.recipe,
                folder / "student",
                Path(teacher) if teacher else None,
            )
        self._run.send(row)

    def _end(self, event: Event) -> None:
        self._send(event)
        run, self._run = self._run, None
        if run is None or self._started is None:
            return
        try:
            run.wait()
        except Lost as lost:
            self._recover(self._started.folder, lost)

    def _recover(self, folder: Path, lost: Lost) -> None:
        """Log the run again where that has a chance, and say what happened in one line."""
        # Not at the top: ``kdzoo list`` imports this module.
        from kdzoo.observers.wandb_again import log_again

        why = str(lost)
        if lost.again:
            try:
                warn(f"{why}; all of the run is logged again: {log_again(folder)}")
                return
            except (Lost, KdzooError) as error:
                why = why if str(error) == why else f"{why}, and then: {error}"
        warn(f"{why}; the run is not complete in wandb; log it by: kdzoo wandb {folder}")
