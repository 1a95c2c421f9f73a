"""Logs a run to Weights & Biases."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

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
from kdzoo.files import write_text
from kdzoo.observers.wandb_run import close_run, open_run, warn

RUN_ID = "wandb-run-id.txt"
"""The file in a run's folder that holds the id of its wandb run, for a resume."""


class Wandb(Observer):
    """One wandb run per run, with ``epoch`` as the x axis; see ``docs/wandb.md`` for what is logged."""

    name: ClassVar[str] = "wandb"

    def __init__(self) -> None:
        # Here and not at the top: ``kdzoo list`` imports this module, and wandb takes a second to import.
        import wandb

        self._wandb = wandb
        self._run: Any = None
        self._started: RunStarted | None = None

    def observe(self, event: Event) -> None:
        """Log the event, if wandb shows events of this class."""
        match event:
            case RunStarted():
                self._start(event)
            case EpochEnded():
                self._run.log({**event.metrics, "epoch": event.epoch})
            case Pictured():
                self._run.log({event.name: self._wandb.Image(str(event.path)), "epoch": event.epoch})
            case RunEnded():
                self._run.summary.update(dict(event.result))
                self._log_networks(event)
                self._end(0)
            case RunFailed() | RunStopped():
                self._end(1)

    def close(self) -> None:
        """End the wandb run as failed, unless it has ended."""
        self._end(1)

    def _start(self, event: RunStarted) -> None:
        self._started = event
        kept = event.folder / RUN_ID
        run_id = kept.read_text(encoding="utf-8").strip() if event.resumed and kept.exists() else None
        self._run = open_run(
            event.folder,
            name=event.job.name,
            group=event.job.suite,
            job_type=event.job.kind,
            tags=event.job.tags,
            config=event.recipe,
            run_id=run_id,
        )
        write_text(kept, self._run.id + "\n")
        self._run.define_metric("*", step_metric="epoch")

    def _log_networks(self, event: RunEnded) -> None:
        """The student and its teacher, as artifacts. They are read where they lie, also by a later upload."""
        assert self._started is not None
        networks = {_artifact_name(self._started.job.name): event.folder / "student"}
        if teacher := event.result.get("teacher_path"):
            model = self._started.recipe.get("roles", {}).get("teacher", {}).get("model", Path(teacher).stem)
            networks[_artifact_name(f"teacher-{model}")] = Path(teacher)
        try:
            for name, path in networks.items():
                artifact = self._wandb.Artifact(name, type="model")
                add = artifact.add_dir if path.is_dir() else artifact.add_file
                add(str(path.absolute()), policy="immutable", skip_cache=True)
                self._run.log_artifact(artifact)
        except Exception as error:
            # A failed upload of the networks must not lose the metrics; the networks are safe in their folders.
            warn(f"the networks are not logged as artifacts; they are in their folders ({error})")

    def _end(self, exit_code: int) -> None:
        run, self._run = self._run, None
        if run is not None:
            close_run(run, exit_code)


def _artifact_name(name: str) -> str:
    """With nothing but the characters that wandb allows."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:128]
