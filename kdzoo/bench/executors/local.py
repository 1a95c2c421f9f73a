"""The processes of this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kdzoo.bench.crew import Crew
from kdzoo.bench.pool import Pool
from kdzoo.bench.progress import SuiteProgress
from kdzoo.bench.schedule import Schedule
from kdzoo.bench.task import Task, leave_error

_SECONDS_BETWEEN_LOOKS = 1.0


class LocalPool:
    """A pool of persistent workers, each of which does one task after the other.

    Args:
        folder: of the suite.
        crew: the workers.
        function: what they call with a task.
    """

    def __init__(self, folder: Path, crew: Crew, function: Callable[[Task], Mapping[str, Any]]) -> None:
        self._folder, self._crew, self._function = folder, crew, function

    def carry_out(
        self, schedule: Schedule, progress: SuiteProgress, record: Callable[[], object]
    ) -> float | None:
        """Do all remaining tasks. A failed task is recorded, and the others go on."""
        began = time.monotonic()
        with Pool(
            self._function, self._crew.environments_of(self._folder), logs=self._folder / "logs"
        ) as pool:
            while not schedule.over:
                while pool.idle and (task := schedule.take()) is not None:
                    pool.submit(task.key, task)
                for outcome in pool.wait(_SECONDS_BETWEEN_LOOKS):
                    task = schedule.settle(outcome.key, outcome.value, outcome.error)
                    leave_error(task, outcome.error, outcome.traceback)
                    progress.settled(task, outcome.value, outcome.error, schedule)
                    record()
                progress.show(schedule)
        return time.monotonic() - began
