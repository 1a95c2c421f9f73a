"""Runs of kdzoo in Trackio: ``pip install ./kdzoo-trackio``, then ``--set 'observers=[console, trackio]'``.

``trackio show`` opens the local dashboard.
"""

from __future__ import annotations

from typing import Any

from kdzoo.api import EpochEnded, Event, Observer, RunEnded, RunStarted, hookimpl


@hookimpl
def kdzoo_observers() -> dict[str, str]:
    """Name -> ``package.module:Class``."""
    return {"trackio": "kdzoo_trackio:Trackio"}


class Trackio(Observer):
    """The recipe, the figures of every epoch, and the numbers of the result.

    Args:
        project: of the dashboard.
    """

    name = "trackio"

    def __init__(self, project: str = "kdzoo") -> None:
        self.project = project
        self._run: Any = None

    def observe(self, event: Event) -> None:
        """Log the event."""
        if isinstance(event, RunStarted):
            import trackio  # here, so that ``kdzoo list`` stays quick

            resume = "allow" if event.resumed else "never"
            self._run = trackio.init(
                project=self.project, name=event.job.name, config=dict(event.recipe), resume=resume
            )
        elif self._run is not None and isinstance(event, EpochEnded):
            self._run.log({**event.metrics, "epoch": event.epoch})
        elif self._run is not None and isinstance(event, RunEnded):
            numbers = {name: one for name, one in event.result.items() if isinstance(one, int | float)}
            self._run.log({f"result/{name}": one for name, one in numbers.items()})
            self.close()

    def close(self) -> None:
        """End the run."""
        run, self._run = self._run, None
        if run is not None:
            run.finish()
