"""The jobs of a cluster: submits what can be submitted, and a small job that submits what follows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kdzoo.bench.executors.arrays import arrays
from kdzoo.bench.executors.plan_file import write_plan
from kdzoo.bench.executors.queue import Batch, JobQueue, QueuedJob, of_suite, read_batches, write_batch
from kdzoo.bench.executors.record import forget, read_record
from kdzoo.bench.executors.settings import Settings, read_settings, write_settings
from kdzoo.bench.progress import SuiteProgress
from kdzoo.bench.schedule import Schedule
from kdzoo.bench.task import Task
from kdzoo.bench.words import several
from kdzoo.errors import KdzooError
from kdzoo.jobs.folder import is_whole
from kdzoo.jobs.teacher_folder import teacher_folder


class Cluster:
    """Has the tasks of a suite done by jobs.

    A session submits every known task that is not finished and not in the queue, each after those that it needs, and
    a coordinator: a small job that runs the same command again when they have ended. So the runs of a tuned entry
    follow when its trials have ended, jobs that were killed are submitted again, and the last one writes the
    leaderboard. Nothing stays on the machine where the command was given.

    What is under way is read from the scheduler's queue alone, and what is finished from the runs' folders: a session
    may be killed at any moment, and the same command goes on.

    Args:
        folder: of the suite.
        queue: the scheduler.
        settings: how the jobs are run.
        command: the command of the coordinator.
        per_job: tasks of one job.
        retry: whether to try tasks again that have failed.
    """

    def __init__(
        self,
        folder: Path,
        queue: JobQueue,
        settings: Settings,
        command: Sequence[str],
        *,
        per_job: int = 1,
        retry: bool = True,
    ) -> None:
        self._folder, self._queue, self._settings, self._command = folder, queue, settings, command
        self._per_job, self._retry = per_job, retry

    def carry_out(
        self, schedule: Schedule, progress: SuiteProgress, record: Callable[[], object]
    ) -> float | None:
        """Submit what is missing; where the queue waits for its jobs, until nothing is."""
        settings = self._settings
        if not self._retry:  # as the suite's last submission by a person
            settings = settings.model_copy(update={"since": read_settings(self._folder).since})
        write_settings(self._folder, settings)
        retry = self._retry
        while True:
            batches = read_batches(self._folder)
            queued, coordinators = of_suite(self._queue, batches)
            schedule.look_again()  # after the queue: a task that ends in between is in one of the two
            missing = self._missing(schedule, queued, batches, settings.since, retry=retry)
            record()
            if schedule.over:
                self._queue.cancel([job.id for job in coordinators if not job.running])
                return None
            ids = self._submit(schedule, missing, queued)
            progress.say(
                f"{several(len(missing), 'run')} submitted"
                + (f", {len(queued)} under way already" if queued else "")
            )
            if not self._queue.waits:
                self._coordinate(schedule, ids, coordinators)
                return None
            retry = False

    def _missing(
        self,
        schedule: Schedule,
        queued: Mapping[str, QueuedJob],
        batches: Mapping[str, Batch],
        since: float,
        *,
        retry: bool,
    ) -> list[Task]:
        """The tasks to submit; those that have failed are recorded, or forgotten for another try."""
        open_ = [task for task in (*schedule.needed, *schedule.waiting) if task.key not in queued]
        submissions = _submissions(batches, since)
        missing = []
        for task in open_:
            if task.teaches is not None and is_trained(task):
                continue
            found = read_record(task.folder)
            if retry or found.outcome == "done":  # its run is not what was finished then
                forget(task.folder)
            elif (why := found.error or found.stuck(task) or found.lost(submissions[task.key])) is not None:
                schedule.refuse(task, why)
                continue
            missing.append(task)
        added = {task.key for task in schedule.waiting} - {task.key for task in open_} - set(queued)
        if added:  # a search that is over added runs
            return self._missing(schedule, queued, batches, since, retry=retry)
        return missing

    def _submit(
        self, schedule: Schedule, missing: Sequence[Task], queued: Mapping[str, QueuedJob]
    ) -> dict[str, str]:
        """Submit the tasks; the ids of all jobs of the suite by the keys of their tasks."""
        under_way = [task for task in (*schedule.needed, *schedule.waiting) if task.key in queued]
        write_plan(self._folder, [*schedule.teachers, *schedule.known])
        recorded: dict[str, bool] = {}
        for task in schedule.known:
            if task.key in schedule.results:
                recorded[task.shares] = recorded.get(task.shares, False) or task.embeddings
        ids = {key: job.id for key, job in queued.items()}
        parallel, before = self._settings.config.parallel, list(dict.fromkeys(ids.values()))
        for array in arrays(
            missing,
            under_way,
            by_level=parallel is not None,
            per_job=self._per_job,
            most=self._settings.config.array,
            recorded=recorded,
        ):
            jobs = [[task.key for task in pack] for pack in array.packs]
            after = [ids[key] for key in sorted(array.needs)] if parallel is None else before
            made = self._queue.submit(write_batch(self._folder, jobs), jobs, after, parallel)
            before = made
            for job, pack in zip(made, jobs, strict=True):
                ids |= dict.fromkeys(pack, job)
        return ids

    def _coordinate(
        self, schedule: Schedule, ids: Mapping[str, str], coordinators: Sequence[QueuedJob]
    ) -> None:
        """Submit the next coordinator: after the trials while there are any, else after everything."""
        trials = [ids[key] for key in schedule.tried if key in ids]
        batch = write_batch(self._folder, [])
        self._queue.submit_command(batch, self._command, trials or list(ids.values()))
        self._queue.cancel([job.id for job in coordinators if not job.running])


def is_trained(task: Task) -> bool:
    """Whether the cache has the teacher, undamaged."""
    assert task.teaches is not None
    return is_whole(teacher_folder(task.recipe.roles[task.teaches], task.identity))


def _submissions(batches: Mapping[str, Batch], since: float) -> Counter[str]:
    """How often each task was submitted since then."""
    made = (one for one in batches.values() if one.made >= since)
    return Counter(key for batch in made for job in batch.jobs for key in job)


def patiently(do: Callable[[], object], seconds: float) -> None:
    """``do`` it; where that is refused, again every few seconds, for ``seconds``.

    Raises:
        KdzooError: the last refusal.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            do()
            return
        except KdzooError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(5.0)
