"""The progress of a suite on stderr: a line for each finished task, and the time left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kdzoo.bench.planner import TUNING
from kdzoo.bench.recorded import recorded
from kdzoo.bench.schedule import Schedule
from kdzoo.bench.task import Task
from kdzoo.errors import KdzooError


class SuiteProgress:
    """A progress bar in a terminal; otherwise only the lines.

    The time left is estimated from epochs; those of running tasks are read from their ``metrics.jsonl``.

    Args:
        terminal: where to print.
        workers: number of parallel tasks.
        quiet: print only failures.
    """

    def __init__(self, terminal: Console, workers: int, *, quiet: bool = False) -> None:
        self.terminal, self.quiet = terminal, quiet
        self._pace = Pace(workers)
        self._total = 0
        self._left = ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=terminal,
            transient=True,
            disable=quiet or not terminal.is_interactive,
        )
        self._row = self._bar.add_task("runs", total=None, left="")

    def __enter__(self) -> SuiteProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, schedule: Schedule, again: Iterable[str] = ()) -> None:
        """Print what the suite will do, and ``again``: what should be known first, as why runs are repeated."""
        if schedule.skipped and not self.quiet:
            self._say(f"{schedule.skipped} runs are finished already")
        for line in again if not self.quiet else ():
            self._say(line)
        self.show(schedule)

    def show(self, schedule: Schedule) -> None:
        """Update the bar."""
        done = len(schedule.results) + len(schedule.failures)
        self._total = done + schedule.tasks_left
        under_way = sum(epochs_done(task) for task in schedule.running)
        left = self._pace.seconds_left(schedule.epochs_left - under_way)
        self._left = f"about {duration(left)} left" if left and left >= 1 else ""
        self._bar.update(self._row, completed=done, total=self._total, left=self._left)

    def settled(
        self, task: Task, result: Mapping[str, Any] | None, error: str | None, schedule: Schedule
    ) -> None:
        """Print the outcome of a task."""
        if result is not None and task.teaches is None:  # teachers from the cache take no time
            self._pace.add(task.epochs, float(result["seconds"]))
        self.show(schedule)
        what = f"failed: {error}" if result is None else _facts(task, result)
        count = f"[{len(schedule.results) + len(schedule.failures)}/{self._total}]"
        line = f"{count} {task.job.name}  {what}"
        if self._bar.disable and self._left:
            line += f"  {self._left}"
        if error is not None or not self.quiet:
            self._say(line)

    def say(self, text: str) -> None:
        """Print a line, unless only failures are wanted."""
        if not self.quiet:
            self._say(text)

    def _say(self, text: str) -> None:
        self.terminal.print(escape(text), soft_wrap=True, highlight=False)


def _facts(task: Task, result: Mapping[str, Any]) -> str:
    """Accuracy and seconds; for a candidate its validation accuracy, because tuning must not see the test split."""
    split = "val" if task.job.tags[-1:] == (TUNING,) else "test"
    figures = ((split, f"{split}/last"), ("val", "val/last"), (f"{split} k-NN", f"{split}/knn"))
    known = [f"{name} {result[key]:.2f} %  " for name, key in figures if result.get(key) is not None]
    return f"{''.join(known[:1])}{result['seconds']:.1f} s"


class Pace:
    """Seconds per epoch and worker, from finished tasks."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._epochs = 0
        self._seconds = 0.0

    def add(self, epochs: int, seconds: float) -> None:
        """Add a finished task, with its epochs and seconds."""
        self._epochs += epochs
        self._seconds += seconds

    def seconds_left(self, epochs: float) -> float | None:
        """Seconds that all workers need for ``epochs``; None before a task is finished."""
        return max(epochs, 0) * self._seconds / self._epochs / self._workers if self._epochs else None


def epochs_done(task: Task) -> int:
    """Finished epochs of the task's run; 0 if they cannot be read."""
    try:
        return 0 if task.teaches is not None else len(recorded(task.folder).epochs)
    except KdzooError:
        return 0


def duration(seconds: float) -> str:
    """``2 h 5 min``, ``3 min``, ``40 s``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
