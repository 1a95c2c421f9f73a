"""What a job does: some tasks of a suite, each in a process of its own. Importing this does not import torch."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

from kdzoo.bench.crew import Crew, thread_limit
from kdzoo.bench.executors.plan_file import read_tasks
from kdzoo.bench.executors.record import LOG_FILE, Record, read_record, write_record
from kdzoo.bench.executors.settings import read_settings
from kdzoo.bench.pool import Outcome, Pool, redirect
from kdzoo.bench.task import Task, leave_error
from kdzoo.owner import Owner
from kdzoo.stopping import Stop, Stopped

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_END = 300.0

Function = Callable[[Task], Mapping[str, Any]]


def work_logged(task: Task) -> Mapping[str, Any]:
    """Do the task; what it prints goes into the run's folder."""
    redirect(task.folder / LOG_FILE)
    from kdzoo.bench.work import work

    await_end(task.folder)
    return work(task)


def await_end(run: Path) -> None:
    """Wait for the process of an earlier attempt that still writes the folder of the run, for a few minutes."""
    owner = Owner(run)
    if owner.await_turn(partial(print, flush=True), _SECONDS_TO_END):
        owner.release()


class Pack:
    """Tasks that one job does at the same time.

    Args:
        folder: of the suite.
        keys: of the tasks.
        function: does a task, in a process of its own; tests replace it.

    Raises:
        KdzooError: the folder has no such tasks.
    """

    def __init__(self, folder: Path, keys: Sequence[str], function: Function = work_logged) -> None:
        self._folder = folder
        self._tasks = {task.key: task for task in read_tasks(folder, keys)}
        settings = read_settings(folder)
        own = None if settings.cluster else thread_limit()  # of a job that somebody else submits
        crew = Crew(own or settings.threads, (None,) * len(self._tasks))
        self._pool = Pool(function, crew.environments_of(folder))

    def run(self, stop: Stop) -> bool:
        """Do the tasks that are not done; whether none has failed.

        A task that fails, or whose process dies, is recorded, and the others go on.

        Args:
            stop: ask it to save and stop; somebody listens.

        Raises:
            Stopped: it was asked to; all tasks are saved.
        """
        try:
            with stop.waiting(), self._pool:
                for task in self._tasks.values():
                    if self._begin(task):
                        self._pool.submit(task.key, task)
                while self._pool.busy:
                    for outcome in self._pool.wait(_SECONDS_BETWEEN_LOOKS):
                        self._settle(outcome)
                    if stop.asked is not None:
                        raise Stopped(stop.asked)
        except Stopped:
            for task in self._under_way():
                self._note(task, "stopped")
            raise
        return all(read_record(task.folder).outcome == "done" for task in self._tasks.values())

    def interrupt(self) -> list[str]:
        """At the job's time limit: let every task save and stop; the keys of those that shall go on."""
        self._pool.end(at_once=True)
        return [task.key for task in self._under_way() if self._goes_on(task)]

    def _begin(self, task: Task) -> bool:
        """Note the attempt; False if there is nothing to do, or no sense in it."""
        record = read_record(task.folder)
        if record.outcome == "done":
            return False
        if record.outcome == "failed":
            record = Record()
        why = record.stuck(task) or self._broken(task)
        if why is not None:
            self._fail(task, why)
            return False
        write_record(task.folder, record.begun(task))
        return True

    def _broken(self, task: Task) -> str | None:
        """Why a teacher that the task needs could not be trained, if so."""
        for key in sorted(task.after):
            record = read_record(self._folder / key)
            if record.outcome == "failed":
                (needed,) = read_tasks(self._folder, [key])
                return f"{needed.job.name} could not be trained: {record.error}"
        return None

    def _settle(self, outcome: Outcome) -> None:
        task = self._tasks[outcome.key]
        if outcome.stopped:
            self._note(task, "stopped")
        elif outcome.error is not None:
            self._fail(task, outcome.error, outcome.traceback)
        else:
            self._note(task, "done")
            leave_error(task, None, "")

    def _goes_on(self, task: Task) -> bool:
        self._note(task, "limit")
        why = read_record(task.folder).stuck(task)
        if why is not None:
            self._fail(task, why)
        return why is None

    def _fail(self, task: Task, error: str, traceback: str = "") -> None:
        self._note(task, "failed", error)
        leave_error(task, error, traceback)

    def _note(
        self, task: Task, how: Literal["limit", "stopped", "done", "failed"], error: str | None = None
    ) -> None:
        write_record(task.folder, read_record(task.folder).ended(how, error))

    def _under_way(self) -> list[Task]:
        """The tasks whose last attempt has not ended."""
        records: dict[str, Record] = {key: read_record(task.folder) for key, task in self._tasks.items()}
        return [
            self._tasks[key] for key, one in records.items() if one.attempts and one.attempts[-1].how is None
        ]


class Job:
    """The function of a job of submitit, which requeues a job whose function has :meth:`checkpoint`.

    Args:
        function: does a task; tests replace it.
    """

    def __init__(self, function: Function = work_logged) -> None:
        self._function = function
        self._pack: Pack | None = None

    def __call__(self, folder: str, keys: Sequence[str]) -> None:
        """Do tasks of the suite in ``folder``. What fails is recorded there."""
        stop = Stop(once=True)
        self._pack = Pack(Path(folder), keys, self._function)
        with stop.listening([signal.SIGTERM]), suppress(Stopped):  # SIGUSR1 is submitit's
            self._pack.run(stop)

    def checkpoint(self, folder: str, keys: Sequence[str]) -> Any:
        """Before the time limit: save; what submitit puts into the queue again, or None."""
        from submitit.helpers import DelayedSubmission

        again = self._pack.interrupt() if self._pack is not None else list(keys)
        return DelayedSubmission(Job(self._function), folder, again) if again else None


def run_one(folder: Path, key: str) -> bool:
    """Do one task of the suite in ``folder``, here and now; whether it is done.

    Raises:
        Stopped: it was asked to; the task is saved.
        KdzooError: the folder has no such task.
    """
    stop = Stop(once=True)
    pack = Pack(folder, [key])
    with stop.listening():
        return pack.run(stop)
