"""Runs a suite: from its plan to its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from kdzoo.bench.again import why_again
from kdzoo.bench.crew import Crew
from kdzoo.bench.executors.executor import Executor
from kdzoo.bench.executors.local import LocalPool
from kdzoo.bench.ledger import (
    FailedRun,
    Ledger,
    MethodNote,
    PlannedRun,
    TriedSettings,
    TunedEntry,
    write_ledger,
)
from kdzoo.bench.plan import Entry, Plan, Run, Search
from kdzoo.bench.planner import Planner
from kdzoo.bench.progress import SuiteProgress
from kdzoo.bench.recorded import recorded
from kdzoo.bench.schedule import Schedule
from kdzoo.bench.task import Task
from kdzoo.bench.tuning import Choice
from kdzoo.bench.work import work
from kdzoo.errors import KdzooError
from kdzoo.jobs.folder import damage
from kdzoo.owner import Owner
from kdzoo.recipe.identity import IDENTITY_FILE, named, read_identity
from kdzoo.recipe.model import Recipe
from kdzoo.registry.model import Method
from kdzoo.version import __version__


class SuiteSession:
    """One call of ``kdzoo bench``: does the tasks that are not finished.

    Args:
        planner: plans the tasks; its folder is the output folder.
        methods: the registry's methods, for the titles and papers in the ledger.
        crew: the workers.
        command: the command line, for the ledger.
        function: the function that workers call with a task; tests replace it.
        executor: does the tasks; default: the crew's processes on this machine.

    Raises:
        KdzooError: the suite cannot be planned, or its folder cannot be written.
    """

    def __init__(
        self,
        planner: Planner,
        methods: Mapping[str, Method],
        crew: Crew,
        *,
        command: str = "",
        function: Callable[[Task], Mapping[str, Any]] = work,
        executor: Executor | None = None,
    ) -> None:
        self.planner, self.crew = planner, crew
        self.folder = planner.output
        self._owner = Owner(self.folder)
        self._methods, self._command = methods, command
        self._executor = executor or LocalPool(self.folder, crew, function)
        self._plan = planner.plan()
        self._seconds: float | None = None
        self._started = datetime.now().astimezone()
        self.schedule = Schedule(self._plan, self._tuned, finished_earlier)

    @property
    def observers(self) -> frozenset[str]:
        """The observers of the runs."""
        return frozenset(one.name for run in self.schedule.runs for one in run.task.recipe.observers)

    def run(self, progress: SuiteProgress) -> Ledger:
        """Do all remaining tasks, or have them done. A failed task is recorded, and the others go on.

        Raises:
            KdzooError: the folder cannot be written, or another process has it by now; or the executor refuses.
        """
        self.prepare()
        with self._owner.held() as note, progress:
            self._record()
            progress.begin(
                self.schedule,
                [*([note] if note else ()), *why_again(self.schedule.waiting, self.schedule.known)],
            )
            self._seconds = self._executor.carry_out(self.schedule, progress, self._record)
            return self._record()

    def prepare(self) -> None:
        """Make the suite's folder.

        Raises:
            KdzooError: it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = error.strerror or error
            raise KdzooError(f"{self.folder}: cannot write the output folder: {why}") from None

    def _tuned(self, search: Search, choice: Choice) -> list[Run]:
        if choice.chosen is None:
            return []
        return self.planner.runs(search.entry, {**search.kept, **choice.tried[choice.chosen].settings})

    def _record(self) -> Ledger:
        self._owner.check()
        ledger = self._ledger()
        write_ledger(self.folder, ledger, tuple(map(_tuned_entry, self.schedule.choices)))
        return ledger

    def _ledger(self) -> Ledger:
        suite, runs = self.planner.suite, self.schedule.runs
        first = {run.entry.name: run for run in reversed(runs)}
        entries = list(dict.fromkeys(run.entry.name for run in runs))
        return Ledger(
            suite=self.planner.name,
            summary=suite.summary,
            kdzoo=__version__,
            command=self._command,
            started=self._started.isoformat(timespec="seconds"),
            seconds=self._seconds,
            workers=len(self.crew.devices),
            threads=self.crew.threads,
            data=runs[0].task.recipe.data.model_dump(mode="json", exclude_unset=True, exclude={"workers"}),
            epochs=runs[0].task.epochs,
            seeds=suite.seeds,
            baseline=suite.baseline,
            headline=suite.headline,
            columns=suite.columns,
            pairs=tuple(self.planner.pairs),
            entries={
                name: _note(self._methods[first[name].entry.method], first[name].task.recipe)
                for name in entries
            },
            runs=tuple(
                PlannedRun(entry=run.entry.name, pair=run.entry.pair, seed=run.seed, folder=run.task.key)
                for run in runs
            ),
            failures=(*_refused(self._plan), *map(_failed, self.schedule.failures.values())),
            published=self.planner.published,
            changed=self.planner.changed,
        )


def finished_earlier(task: Task) -> Mapping[str, Any] | None:
    """The result of the task's run, if it is finished and has the task's identity.

    Raises:
        KdzooError: the folder has another run than its name says.
    """
    try:
        result = recorded(task.folder).result
    except KdzooError as error:
        raise KdzooError(f"{error}; remove the folder {task.folder}") from None
    if result is None or damage(task.folder, result.plain()) is not None:
        return None
    before = read_identity(task.folder)
    if before is None:
        raise KdzooError(f"{task.folder}: {IDENTITY_FILE} is missing or damaged; remove the folder")
    differences = task.identity.differences(before)
    if differences:
        raise KdzooError(
            f"{task.folder}: not the run that the folder's name says: {named(differences)}; remove the folder"
        )
    return result.plain()


def _note(method: Method, recipe: Recipe) -> MethodNote:
    return MethodNote(
        title=method.title,
        cite=method.paper.cite() if method.paper else None,
        settings=_settings(recipe),
    )


def _settings(recipe: Recipe) -> str:
    """``knowledge kd (temperature 4), scheme offline, algorithm distill (...), smoothing 0.1``."""
    parts = []
    for kind, component in recipe.components:
        plain = component.model_dump(mode="json")
        if len(recipe.knowledge) < 2:
            plain.pop("weight", None)
        values = [
            f"{key} {_short(value)}" for key, value in plain.items() if key != "name" and value is not None
        ]
        parts.append(f"{kind} {component.name}" + (f" ({', '.join(values)})" if values else ""))
    if recipe.smoothing:
        parts.append(f"smoothing {_short(recipe.smoothing)}")
    return ", ".join(parts)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _tuned_entry(choice: Choice) -> TunedEntry:
    return TunedEntry(
        entry=choice.entry.name,
        pair=choice.entry.pair,
        seed=choice.seed,
        chosen=choice.chosen,
        trials=choice.trials,
        candidates=tuple(
            TriedSettings(
                settings=dict(one.settings), validation=one.value, folder=one.folder, images=one.images
            )
            for one in choice.tried
        ),
    )


def _refused(plan: Plan) -> list[FailedRun]:
    def name(entry: Entry) -> str:
        return f"{entry.name} {entry.pair}"

    return [FailedRun(name=name(entry), error=error) for entry, error in plan.refused.items()]


def _failed(failure: Any) -> FailedRun:
    return FailedRun(name=failure.task.job.name, error=failure.error, folder=failure.task.key)
