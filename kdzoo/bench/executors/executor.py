"""What a suite's session and those who do its tasks agree on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kdzoo.bench.progress import SuiteProgress
from kdzoo.bench.schedule import Schedule


class Executor(Protocol):
    """Does the tasks of a schedule, or has them done."""

    def carry_out(
        self, schedule: Schedule, progress: SuiteProgress, record: Callable[[], object]
    ) -> float | None:
        """Do what the schedule has, each task after those that it needs.

        Args:
            schedule: gets the outcome of each task. It is over on return, or the rest is done elsewhere.
            progress: is told.
            record: writes the suite's ledger; called whenever something was settled.

        Returns:
            How many seconds it took; None where that says nothing, since others do the work.

        Raises:
            KdzooError: the tasks cannot be done here.
        """
