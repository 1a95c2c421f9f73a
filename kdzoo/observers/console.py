"""What a person sees of a run: a progress bar, a line per epoch, a short table at the end. All on stderr.

Where stderr is no terminal but a log, lines now and then take the place of the bar.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from rich.console import Console as Terminal
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from kdzoo.api.observer import (
    EpochEnded,
    Event,
    Noted,
    Observer,
    PhaseStarted,
    Preparing,
    RunEnded,
    RunFailed,
    RunStarted,
    StepsDone,
    Warned,
)
from kdzoo.observers.next_steps import next_steps

Clock = Callable[[], float]

_FIRST, _EVERY = 5.0, 60.0
"""Seconds of a phase before a log has the first estimate of the time left, and between two lines of progress."""

_STEPS = 3
"""Steps from which the time left is estimated at the earliest: the first ones are slow."""


class Console(Observer):
    """Prints to stderr, without colours or a bar where that is no terminal.

    Args:
        terminal: where to print; default: stderr.
        clock: the time in seconds, from any beginning.
    """

    name: ClassVar[str] = "console"

    def __init__(self, terminal: Terminal | None = None, clock: Clock = time.monotonic) -> None:
        self._terminal = terminal or Terminal(stderr=True)
        self._clock = clock
        self._started: RunStarted | None = None
        self._pace: _Pace | None = None
        self._bar: Progress | None = None
        self._next_line = clock() + _FIRST

    def observe(self, event: Event) -> None:
        """Print the event, if it is one that a person wants to see."""
        match event:
            case RunStarted():
                self._started = event
                goes_on = " (goes on from its checkpoint)" if event.resumed else ""
                self._print(f"[bold]{escape(event.job.name)}[/] in {escape(str(event.folder))}{goes_on}")
            case Preparing() if self._pace is None:
                self._prepare(event)
            case PhaseStarted():
                self._stop_bar()
                self._pace = _Pace(event, self._clock)
                self._next_line = self._clock() + _FIRST
                self._start_bar(event.phase, event.epochs, TextColumn("{task.fields[left]}"))
                self._show()
            case StepsDone() if self._pace:
                self._pace.step = event.step
                self._show()
            case EpochEnded() if self._pace:
                self._pace.end_epoch()
                self._print(f"{escape(event.phase)} {self._pace}  {escape(_line(event.metrics))}")
                self._show()
            case Noted():
                self._print(escape(event.message))
            case Warned():
                self._print(f"[yellow]warning:[/] {escape(event.message)}")
            case RunEnded():
                self._stop_bar()
                self._terminal.print(_table(event.result))
                self._print(f"student in {escape(str(event.folder / 'student'))}")
                if self._started is not None and self._started.job.kind == "student":
                    steps = next_steps(event.folder, self._started.recipe, event.result)
                    self._print(escape("\n".join(["next:", *(f"  {step}" for step in steps)])))
            case RunFailed():
                self._stop_bar()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._stop_bar()

    def _print(self, text: str) -> None:
        self._terminal.print(text, soft_wrap=True, highlight=False)

    def _prepare(self, event: Preparing) -> None:
        if self._bar is None:
            self._start_bar(event.label, event.total, TimeRemainingColumn())
        if self._bar is not None:
            label = escape(event.label)
            self._bar.update(
                self._bar.task_ids[0], description=label, completed=event.done, total=event.total
            )
        elif self._line_is_due():
            self._print(f"{escape(event.label)}: {event.done:,} of {event.total:,}")
        if event.done >= event.total:
            self._stop_bar()

    def _show(self) -> None:
        assert self._pace is not None
        seconds = self._pace.seconds_left
        if self._bar is not None:
            left = "" if seconds is None else f"{_duration(seconds)} left"
            self._bar.update(self._bar.task_ids[0], completed=self._pace.done, left=left)
        elif seconds is not None and self._pace.step >= _STEPS and self._line_is_due():
            phase, step = self._pace.phase, f"{self._pace.step:,}"
            of = f" of {phase.steps:,}" if phase.steps else ""
            at = f"{escape(phase.phase)} {self._pace.running}"
            self._print(f"{at}  step {step}{of}  about {_duration(seconds)} left")

    def _line_is_due(self) -> bool:
        """Whether a log has had no line of progress for so long that it needs one."""
        if self._terminal.is_interactive or self._clock() < self._next_line:
            return False
        self._next_line = self._clock() + _EVERY
        return True

    def _start_bar(self, label: str, total: int, left: ProgressColumn) -> None:
        if self._terminal.is_interactive:
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), left)
            self._bar = Progress(*columns, console=self._terminal, transient=True)
            self._bar.add_task(escape(label), total=total, left="")
            self._bar.start()

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._pace = None


class _Pace:
    """The progress of a phase, and the time that is left at the pace so far."""

    def __init__(self, phase: PhaseStarted, clock: Clock) -> None:
        self.phase = phase
        self._clock = clock
        self.epoch = phase.epoch
        self.step = 0
        self._began = clock()
        self._epoch_began = self._began

    def end_epoch(self) -> None:
        self.epoch, self.step = self.epoch + 1, 0
        self._epoch_began = self._clock()

    @property
    def done(self) -> float:
        """Epochs done, the part of the running one included."""
        return self.epoch + (min(self.step / self.phase.steps, 1.0) if self.phase.steps else 0.0)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the phase ends; None before the first step.

        Estimated from whole epochs, which include validation; before the first has ended, from steps.
        """
        whole = self.epoch - self.phase.epoch
        if whole:
            left = (self._epoch_began - self._began) / whole * (self.phase.epochs - self.done)
            return max(left, 0.0)
        part = self.done - self.phase.epoch
        if not part:
            return None
        return (self._clock() - self._began) / part * (self.phase.epochs - self.done)

    @property
    def running(self) -> str:
        """The epoch that is under way, such as `` 3/20``."""
        return f"{min(self.epoch + 1, self.phase.epochs):{len(str(self.phase.epochs))}}/{self.phase.epochs}"

    def __str__(self) -> str:
        return f"{self.epoch:{len(str(self.phase.epochs))}}/{self.phase.epochs}"


def _line(metrics: Mapping[str, float]) -> str:
    """``task 1.2345  teach 0.6789  val/accuracy 87.30 %  lr 0.0019  1.2 s``."""
    parts = []
    for name, value in metrics.items():
        if name == "seconds":
            parts.append(f"{value:.1f} s")
        elif "accuracy" in name:
            parts.append(f"{name} {value:.2f} %")
        else:
            parts.append(f"{name.removeprefix('train/')} {value:.4g}")
    return "  ".join(parts)


def _table(result: Mapping[str, Any]) -> Table:
    """The numbers of a result, one a row."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in result.items():
        if isinstance(value, int | float):
            table.add_row(escape(name), f"{value:,}" if isinstance(value, int) else f"{value:.2f}")
    return table


def _duration(seconds: float) -> str:
    """``1:02:03``, or ``2:03`` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
