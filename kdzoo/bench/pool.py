"""A local process pool that survives its workers.

The standard library's pool cannot be used any more after one process dies. Here a worker that crashes, exits
or is killed for its memory loses only its current task and is replaced. Workers are reused for several tasks,
because importing torch takes seconds.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any

from kdzoo.errors import KdzooError, ending
from kdzoo.stopping import Stop, Stopped, was_stopped
from kdzoo.zoo.plugin import first_line

_SECONDS_TO_STOP = 30.0
"""Seconds that workers have to finish a step and save before they are killed."""

STOP = Stop(once=True)
"""In a worker: whether the pool wants it to interrupt its task."""

_spawn = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task.

    Attributes:
        key: the task's key.
        value: the function's return value; None after a failure.
        error: one line; None without one.
        traceback: the error's traceback as text; empty without one, for example when the process died.
        stopped: whether the process ended because a signal asked it to save and stop.
    """

    key: str
    value: Any = None
    error: str | None = None
    traceback: str = ""
    stopped: bool = False


class Pool:
    """Processes that call ``function`` on tasks, each one task at a time.

    Args:
        function: a picklable function of one picklable argument. The worker imports its module after its
            environment is set.
        environments: the environment variables of each worker; one entry per worker.
        logs: a folder for the workers' output, in ``worker-0.log`` and so on; default: the terminal.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        environments: Sequence[Mapping[str, str]],
        logs: Path | None = None,
    ) -> None:
        self._workers = [
            _Worker(function, environment, logs / f"worker-{number}.log" if logs else None)
            for number, environment in enumerate(environments)
        ]

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers; after an error or Ctrl-C, interrupt their tasks."""
        self.end(at_once=kind is not None)

    def end(self, *, at_once: bool) -> None:
        """End the workers: ``at_once``, with tasks interrupted after a step and saved, or when they are idle."""
        try:
            for worker in self._workers:
                worker.ask_to_end(at_once=at_once)
            deadline = time.monotonic() + _SECONDS_TO_STOP
            for worker in self._workers:
                worker.join(deadline)
        finally:
            for worker in self._workers:
                worker.kill()

    @property
    def idle(self) -> int:
        """The number of idle workers."""
        return sum(worker.key is None for worker in self._workers)

    @property
    def busy(self) -> tuple[str, ...]:
        """The keys of the running tasks."""
        return tuple(worker.key for worker in self._workers if worker.key is not None)

    def submit(self, key: str, task: Any) -> None:
        """Give a task to an idle worker.

        Raises:
            RuntimeError: no worker is idle.
        """
        for worker in self._workers:
            if worker.key is None:
                worker.begin(key, task)
                return
        raise RuntimeError("submit: every worker is busy; wait() first")

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Wait until at least one task is done; empty after ``timeout`` seconds or if none is running."""
        busy = {signal: worker for worker in self._workers if worker.key for signal in worker.signals()}
        ready = wait(list(busy), timeout) if busy else []
        finished = {id(busy[signal]): busy[signal] for signal in ready}
        return [worker.end() for worker in finished.values()]


class _Worker:
    """The parent's handle of one process, which is started with its first task and restarted if it dies."""

    def __init__(
        self, function: Callable[[Any], Any], environment: Mapping[str, str], log: Path | None
    ) -> None:
        self._function, self._environment, self._log = function, environment, log
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self.key: str | None = None

    def signals(self) -> tuple[Any, ...]:
        """Objects to wait for: ready when the task is done or the process has died."""
        assert self._process is not None
        assert self._pipe is not None
        return self._pipe, self._process.sentinel

    def begin(self, key: str, task: Any) -> None:
        self.key = key
        for _ in range(2):
            self._ensure_alive()
            assert self._process is not None
            assert self._pipe is not None
            with suppress(BrokenPipeError, ConnectionResetError):
                self._pipe.send(task)
                return
            self._process.join()  # it died while idle; start another

    def end(self) -> Outcome:
        """The outcome of the task, after a signal."""
        assert self.key is not None
        assert self._process is not None
        assert self._pipe is not None
        key, self.key = self.key, None
        with suppress(EOFError, ConnectionResetError):
            if self._pipe.poll():  # otherwise a dead worker's child could block us
                return Outcome(key, *self._pipe.recv())
        self._process.join()
        code = self._process.exitcode
        return Outcome(key, error=f"the worker process {ending(code)}", stopped=was_stopped(code))

    def ask_to_end(self, *, at_once: bool) -> None:
        if self._process is None or self._pipe is None:
            return
        if at_once:
            self._process.terminate()
        else:
            with suppress(OSError):
                self._pipe.send(None)

    def join(self, deadline: float) -> None:
        if self._process is not None:
            self._process.join(max(0.0, deadline - time.monotonic()))

    def kill(self) -> None:
        if self._process is not None and self._pipe is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._pipe.close()
        self._process = self._pipe = None

    def _ensure_alive(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        self.kill()
        self._pipe, theirs = _spawn.Pipe()
        # not a daemon: daemons cannot have child processes, which decode images
        self._process = _spawn.Process(target=_serve, args=(theirs, self._function, self._log), daemon=False)
        with _environment(self._environment):
            self._process.start()
        theirs.close()


def _serve(pipe: Connection, function: Callable[[Any], Any], log: Path | None) -> None:
    """The main loop of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the parent handles Ctrl-C
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if log is not None:
        redirect(log)
    faulthandler.enable()
    try:
        with STOP.listening(
            [signal.SIGTERM, signal.SIGUSR1]
        ):  # schedulers send these to every process of a job
            while (task := pipe.recv()) is not None:
                pipe.send(_answer(function, task))
    except Stopped as error:
        sys.exit(error.exit_code)
    except EOFError:
        return


def _answer(function: Callable[[Any], Any], task: Any) -> tuple[Any, str | None, str]:
    try:
        return function(task), None, ""
    except Stopped:
        raise
    except KdzooError as error:
        return None, " ".join(str(error).split()), traceback.format_exc()
    except BaseException as error:  # sys.exit in a plugin fails its task only
        return None, first_line(error), traceback.format_exc()


def _die_with_parent() -> None:
    """Ask the kernel to stop this worker when its parent dies; else it would go on training."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def redirect(log: Path) -> None:
    """Redirect the output of this process and its libraries to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(file, stream.fileno())
    os.close(file)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for a process started inside the block, so that its first imports see them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
