"""Runs of kdzoo in MLflow: ``pip install ./kdzoo-mlflow``, then ``--set 'observers=[console, mlflow]'``.

``MLFLOW_TRACKING_URI`` says where they go; by default it is a file or a folder where the command is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdzoo.api import (
    EpochEnded,
    Event,
    Observer,
    Pictured,
    RunEnded,
    RunFailed,
    RunStarted,
    RunStopped,
    hookimpl,
)

_LONGEST = 500
"""Characters of a parameter that every store of MLflow takes."""


@hookimpl
def kdzoo_observers() -> dict[str, str]:
    """Name -> ``package.module:Class``."""
    return {"mlflow": "kdzoo_mlflow:MLflow"}


class MLflow(Observer):
    """Parameters, the figures of every epoch, pictures, the result and the student.

    Args:
        experiment: its name; it is made where it is missing.
    """

    name = "mlflow"

    def __init__(self, experiment: str = "kdzoo") -> None:
        self.experiment = experiment
        self._client: Any = None
        self._run = ""

    def observe(self, event: Event) -> None:
        """Log the event."""
        if isinstance(event, RunStarted):
            self._begin(event)
        elif self._client is None:
            return
        elif isinstance(event, EpochEnded):
            for name, value in event.metrics.items():
                self._client.log_metric(self._run, name, value, step=event.epoch)
        elif isinstance(event, Pictured):
            self._client.log_artifact(self._run, str(event.path), "pictures")
        elif isinstance(event, RunEnded):
            for name, value in event.result.items():
                if isinstance(value, int | float):
                    self._client.log_metric(self._run, f"result/{name}", float(value))
            self._client.log_artifacts(self._run, str(event.folder / "student"), "student")
            self._end("FINISHED")
        elif isinstance(event, RunFailed | RunStopped):
            self._end("KILLED" if isinstance(event, RunStopped) else "FAILED")

    def close(self) -> None:
        """End the run as failed, unless it has ended."""
        self._end("FAILED")

    def _begin(self, event: RunStarted) -> None:
        import mlflow  # here, so that ``kdzoo list`` stays quick

        self._client = mlflow.MlflowClient()
        known = self._client.get_experiment_by_name(self.experiment)
        experiment = known.experiment_id if known else self._client.create_experiment(self.experiment)
        tags = {"kind": event.job.kind, "suite": event.job.suite or "", "folder": str(event.folder)}
        self._run = self._client.create_run(experiment, run_name=event.job.name, tags=tags).info.run_id
        for key, value in _flat(event.recipe):
            self._client.log_param(self._run, key, str(value)[:_LONGEST])

    def _end(self, status: str) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.set_terminated(self._run, status)


def _flat(values: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value
