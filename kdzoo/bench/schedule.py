"""The order of tasks, and the tasks that results add."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kdzoo.bench.plan import Plan, Run, Search
from kdzoo.bench.task import Task
from kdzoo.bench.tuning import CRITERION, Choice, choose


@dataclass(frozen=True)
class Failure:
    """A failed task, and the reason in one line."""

    task: Task
    error: str


class Schedule:
    """Returns the tasks of a plan, each after those that it needs.

    A teacher is returned only when a task that needs it is next, so that none is trained for finished tasks. Of the
    tasks that share a teacher's answers one is first and records them: one that reads embeddings, if any does. The
    others wait until it is done, and replay them.
    A search may add candidates when those before are done; finished, it adds the runs of the best one.

    Args:
        plan: the plan.
        tuned: the runs of a finished search.
        finished: the result of a task from an earlier session; None if it must be done.
    """

    def __init__(
        self,
        plan: Plan,
        tuned: Callable[[Search, Choice], Iterable[Run]],
        finished: Callable[[Task], Mapping[str, Any] | None],
    ) -> None:
        self.runs: list[Run] = []
        self.choices: list[Choice] = []
        self.results: dict[str, Mapping[str, Any]] = {}
        self.failures: dict[str, Failure] = {}
        self.skipped = 0
        self.known: list[Task] = []
        self._teachers = plan.teachers
        self._tuned, self._finished = tuned, finished
        self._searches = list(plan.searches)
        self._waiting: dict[str, Task] = {}
        self._running: dict[str, Task] = {}
        self._recorded: dict[str, bool] = {}  # what finished tasks share, and whether with embeddings
        self._seeds = len({run.seed for run in plan.runs})
        for search in plan.searches:
            self._add(candidate.task for candidate in search.candidates)
        self._add_runs(plan.runs)
        self._settle_searches()

    @property
    def over(self) -> bool:
        """Whether all tasks are done."""
        return not self._waiting and not self._running

    @property
    def epochs_left(self) -> int:
        """Epochs of all tasks that are not done, including the runs that searches will add."""
        tasks = {**self._waiting, **self._running}
        needed = (
            {key for task in tasks.values() for key in task.after} - set(self.results) - set(self.failures)
        )
        tasks |= {key: self._teachers[key] for key in needed}
        expected = sum(
            search.candidates[0].task.epochs * (self._seeds + search.missing) for search in self._searches
        )
        return sum(task.epochs for task in tasks.values()) + expected

    @property
    def tasks_left(self) -> int:
        """Number of tasks that are not done, including the runs that searches will add."""
        expected = sum(self._seeds + search.missing for search in self._searches)
        return len(self._waiting) + len(self._running) + expected

    @property
    def waiting(self) -> tuple[Task, ...]:
        """The known tasks that are not started."""
        return tuple(self._waiting.values())

    @property
    def running(self) -> tuple[Task, ...]:
        """The tasks that are running."""
        return tuple(self._running.values())

    def take(self) -> Task | None:
        """The next task that can be started."""
        for task in list(self._waiting.values()):
            missing = [key for key in task.after if key not in self.results]
            broken = [self.failures[key] for key in missing if key in self.failures]
            if broken:
                del self._waiting[task.key]
                self._fail(task, f"{broken[0].task.job.name} could not be trained: {broken[0].error}")
                continue
            if not missing and self._must_wait(task):
                continue
            if not missing:
                task = self._recorder(task)
                del self._waiting[task.key]
                return self._start(task)
            for key in missing:
                if key not in self._running:
                    return self._start(self._teachers[key])
        return None

    def settle(self, key: str, result: Mapping[str, Any] | None, error: str | None) -> Task:
        """Record the outcome of a task; returns the task."""
        task = self._running.pop(key)
        if error is not None:
            self._fail(task, error)
        else:
            self.results[key] = result or {}
            self._recorded[task.shares] = self._recorded.get(task.shares, False) or task.embeddings
            self._settle_searches()
        return task

    @property
    def needed(self) -> tuple[Task, ...]:
        """The teachers that tasks wait for which are not started."""
        keys = dict.fromkeys(key for task in self._waiting.values() for key in task.after)
        return tuple(
            self._teachers[key] for key in keys if key not in self.results and key not in self.failures
        )

    @property
    def teachers(self) -> tuple[Task, ...]:
        """The teachers of all known tasks."""
        return tuple(self._teachers.values())

    @property
    def tried(self) -> tuple[str, ...]:
        """The keys of the trials of searches that are not over."""
        return tuple(candidate.task.key for search in self._searches for candidate in search.candidates)

    def look_again(self) -> None:
        """Settle the waiting tasks that others have finished meanwhile."""
        for task in self.waiting:
            if (result := self._finished(task)) is not None:
                self.results[self._waiting.pop(task.key).key] = result
        self._settle_searches()

    def refuse(self, task: Task, error: str) -> None:
        """Record a task that others have tried, and that failed."""
        self._waiting.pop(task.key, None)
        self._fail(task, error)

    def _must_wait(self, task: Task) -> bool:
        """Whether a running task records the answers that this one can replay."""
        running = (one for one in self._running.values() if one.shares == task.shares)
        return self._is_new(task) and any(one.embeddings >= task.embeddings for one in running)

    def _recorder(self, task: Task) -> Task:
        """The task that is done instead, if it records what this one replays then."""
        if not self._is_new(task):
            return task
        alike = (one for one in self._waiting.values() if one.shares == task.shares)
        return next((one for one in alike if one.embeddings > task.embeddings), task)

    def _is_new(self, task: Task) -> bool:
        """Whether it asks a teacher for what no finished task of this session has recorded."""
        return bool(task.shares) and self._recorded.get(task.shares) not in (True, task.embeddings)

    def _start(self, task: Task) -> Task:
        self._running[task.key] = task
        return task

    def _fail(self, task: Task, error: str) -> None:
        self.failures[task.key] = Failure(task, error)
        self._settle_searches()

    def _add_runs(self, runs: Iterable[Run]) -> None:
        runs = list(runs)
        self.runs += runs
        self._add(run.task for run in runs)

    def _add(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            places = (self._waiting, self._running, self.results, self.failures)
            if any(task.key in place for place in places):
                continue
            self.known.append(task)
            result = self._finished(task)
            if result is None:
                self._waiting[task.key] = task
            else:
                self.results[task.key] = result
                self.skipped += 1

    def _settle_searches(self) -> None:
        for search in list(self._searches):
            place, results = self._searches.index(search), self._results_of(search)
            while results is not None:
                more = search.further([(result or {}).get(CRITERION) for result in results])
                if not more:
                    del self._searches[place]
                    choice = choose(search, results)
                    self.choices.append(choice)
                    self._add_runs(self._tuned(search, choice))
                    break
                search = replace(search, candidates=(*search.candidates, *more))
                self._searches[place] = search
                self._add(candidate.task for candidate in more)
                results = self._results_of(search)

    def _results_of(self, search: Search) -> list[Mapping[str, Any] | None] | None:
        """The result of each candidate, or None for one that failed; None unless all are done."""
        keys = [candidate.task.key for candidate in search.candidates]
        if all(key in self.results or key in self.failures for key in keys):
            return [self.results.get(key) for key in keys]
        return None
