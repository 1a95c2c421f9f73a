"""A compression from its plan to the exported student: teacher, rungs, final, verdict, export."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter

from kdzoo.bench.progress import duration
from kdzoo.bench.recorded import read_json
from kdzoo.bench.results import SuiteResults, read_results
from kdzoo.bench.teachers import INDEX_FILE, TeacherIndex
from kdzoo.bench.words import number
from kdzoo.compress import suites
from kdzoo.compress.finish import finish
from kdzoo.compress.likeness import Likeness
from kdzoo.compress.plan import CONTROLS, LEAST_EPOCHS, Plan, Student
from kdzoo.compress.record import Record, Stage
from kdzoo.compress.request import Request
from kdzoo.compress.suites import Arm
from kdzoo.compress.survey import Survey
from kdzoo.errors import KdzooError
from kdzoo.recipe.roles import RoleConfig
from kdzoo.registry.model import Registry, Suite
from kdzoo.zoo import Zoo

_OVER = 1.1
"""Times the budget beyond which no further seed is begun."""

_SURE = 0.8
"""Part of the time that is left that the final is fitted to: a seed too few can cost the verdict."""

_SHORTER = 0.6
"""Part of the planned epochs of the final below which a seed is left out instead."""


class Runs(Protocol):
    """Runs suites; the command line has progress bars and signals around it."""

    def suite(self, name: str, suite: Suite, folder: Path) -> SuiteResults:
        """Do what is not finished of a suite; its results."""

    def teacher(self, name: str, suite: Suite, folder: Path) -> None:
        """Train the teacher of a suite, and leave it in the folder with an index."""


@dataclass
class Compression:
    """The work on one folder of pictures.

    Attributes:
        request: what is asked for.
        survey: the pictures.
        record: what is planned and done.
        output: the folder.
        runs: runs suites.
        registry, zoo: methods and components.
        tell: shows a line.
        began: time of the monotonic clock from which this session's seconds count.
    """

    request: Request
    survey: Survey
    record: Record
    output: Path
    runs: Runs
    registry: Registry
    zoo: Zoo
    tell: Callable[[str], None]
    began: float

    def __post_init__(self) -> None:
        self._before, self._finished = self.record.spent, bool(self.record.results)

    @property
    def plan(self) -> Plan:
        """What is tried."""
        return self.record.plan

    @property
    def spent(self) -> float:
        """Seconds of all sessions so far; what is finished takes no more."""
        return self._before + (0.0 if self._finished else time.monotonic() - self.began)

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.request.budget - self.spent

    def run(self) -> dict[str, Any]:
        """Do what is not done; what came of it."""
        try:
            self._save(self.record)
            role = self._teacher()
            likeness = (
                None
                if self.plan.labelled
                else Likeness(self.plan.teacher, self.survey, self.registry, self.zoo)
            )
            arm, ratio = self._rungs(role, likeness)
            results = self._final(role, arm, ratio)
            found = finish(
                self.request, self.survey, self.record, arm, results, likeness, self.output, self.zoo
            )
            self._save(self.record.model_copy(update={"results": found}))
            return found
        finally:
            self._save(self.record)

    def _teacher(self) -> RoleConfig:
        """The teacher as a role that needs no training."""
        teacher = self.plan.teacher
        if teacher.train == "never":
            return teacher.role
        plain = self.plan.students[0].model_copy(update={"weights": None})
        suite = suites.teaching(plain, teacher.role, self.survey.config, self.plan.methods[0])
        with self._stage("teacher", suite, self.plan.teaching_seconds) as stage:
            if stage.seconds is None:
                self.runs.teacher("teacher", suite, self.output / stage.name)
        index = read_json(self.output / "teacher" / INDEX_FILE, TypeAdapter(TeacherIndex))
        (found,) = index.pairs.values()
        right = "" if found.test is None else f"{number(found.test)} % on the test pictures"
        self._say("teacher", [f"teacher: {found.model}, {right}"])
        keys = {"mean": teacher.mean, "std": teacher.std}
        given = {name: value for name, value in keys.items() if value is not None}
        file = (self.output / "teacher" / found.file).absolute()
        return RoleConfig.model_validate({"model": found.model, "checkpoint": file, **given})

    def _rungs(self, role: RoleConfig, likeness: Likeness | None) -> tuple[Arm, float]:
        """The winner, and how many times the seconds of plain training an epoch of its training takes."""
        plan = self.plan
        arms = [Arm(one.model, method) for method in plan.methods for one in plan.students]
        sizes = plan.rungs()
        ratio = None
        for place in range(len(sizes)):
            own = {one.model: sum(arm.student == one.model for arm in arms) for one in plan.students}
            final = self._epochs(place)
            epochs = plan.rung_epochs(place, final)
            suite = suites.rung(arms, plan.students, role, self.survey.config, epochs, labelled=plan.labelled)
            expected = plan.rung_seconds(place, final, own)
            results = self._run(f"rung-{place + 1}", suite, expected)
            order = self._ranked(results, arms, likeness)
            keep = sizes[place + 1][0] if place + 1 < len(sizes) else 1
            arms = suites.halved(order, keep)
            ratio = suites.times_as_long(results, arms[0])
            what = "%" if likeness is None else "% of the teacher's features explained"
            listed = ", ".join(f"{one.method} with {one.student} {number(value)}" for one, value in order)
            self._say(f"rung-{place + 1}", [f"rung {place + 1}: {listed} {what} on validation pictures"])
        return arms[0], ratio or plan.ratio(self._student(arms[0]))

    def _ranked(
        self, results: SuiteResults, arms: Sequence[Arm], likeness: Likeness | None
    ) -> list[tuple[Arm, float]]:
        """The arms that did not fail, the best first."""
        if likeness is None:
            order = suites.ranked(results, arms)
        else:
            found = {
                Arm(run.pair.partition(">")[2], run.entry): likeness.of(
                    results.folder / run.folder / "student"
                )
                for run in results.ledger.runs
                if run.folder in results.runs and results.runs[run.folder].result is not None
            }
            order = sorted(found.items(), key=lambda one: -one[1])
        if not order:
            failed = next((one.error for one in results.ledger.failures), "no run has a result")
            raise KdzooError(f"{results.folder}: every run failed: {failed}")
        return order

    def _final(self, role: RoleConfig, arm: Arm, ratio: float) -> SuiteResults:
        """The winner and its controls, seed by seed while there is time."""
        student, plan = self._student(arm), self.plan
        slower = self._slower()
        seeds, epochs = final_within(self.left, plan, student, ratio, slower)
        longer = max(epochs, round(ratio * epochs))
        suite = suites.final(
            arm, student, role, self.survey.config, epochs, longer, seeds, labelled=plan.labelled
        )
        name = "final"
        expected = slower * plan.final_seconds(epochs, seeds, student, ratio)
        with self._stage(name, suite, expected) as stage:
            suite = stage.suite
            if stage.seconds is not None:
                return read_results(self.output / name)
            self._say(name, [f"final: {suites.about(arm, suite)}"])
            together = max(1, plan.workers // (CONTROLS + 1))
            for done in range(together, len(suite.seeds) + together, together):
                began = time.monotonic()
                some = suite.model_copy(update={"seeds": suite.seeds[:done]})
                results = self.runs.suite(name, some, self.output / name)
                took = time.monotonic() - began
                if done < len(suite.seeds) and self.spent + took > _OVER * self.request.budget:
                    self._say(name, [f"{done} of {len(suite.seeds)} seeds: the time is over"])
                    break
        return results

    def _run(self, name: str, suite: Suite, expected: float) -> SuiteResults:
        with self._stage(name, suite, expected) as stage:
            if stage.seconds is not None:
                return read_results(self.output / name)
            return self.runs.suite(name, stage.suite, self.output / name)

    @contextmanager
    def _stage(self, name: str, suite: Suite, expected: float) -> Iterator[Stage]:
        """The stage as it was decided, or as it is decided now; its seconds are added when the block ends well."""
        stage = self.record.stage(name)
        if stage is None:
            stage = Stage(name=name, suite=suite, expected=expected)
            self._save(self.record.with_stage(stage))
        began = self.spent
        yield stage
        if stage.seconds is None:
            now = self.record.stage(name) or stage
            self._save(self.record.with_stage(now.model_copy(update={"seconds": self.spent - began})))

    def _say(self, name: str, lines: Sequence[str]) -> None:
        """Show what came of a stage, and keep it."""
        stage = self.record.stage(name)
        assert stage is not None
        new = [one for one in lines if one not in stage.said]
        for line in new:
            self.tell(f"{line}  ({duration(self.spent)} of {duration(self.request.budget)})")
        self._save(self.record.with_stage(stage.model_copy(update={"said": (*stage.said, *new)})))

    def _save(self, record: Record) -> None:
        self.record = record.model_copy(update={"spent": self.spent})
        self.record.write(self.output)

    def _slower(self) -> float:
        """How many times the expected seconds the last finished stage took: the machine may have other work."""
        done = [one for one in self.record.stages if one.seconds is not None and one.expected > 0]
        return min(5.0, max(0.5, (done[-1].seconds or 0.0) / done[-1].expected)) if done else 1.0

    def _epochs(self, place: int) -> int:
        """Epochs of the final that the time allows, before the rung of this number."""
        plan, slower = self.plan, self._slower()

        def needed(epochs: int) -> float:
            rungs = range(place, len(plan.rungs()))
            later = sum(plan.rung_seconds(one, epochs) for one in rungs)
            return slower * (later + plan.final_seconds(epochs, plan.seeds))

        return _most(needed, self.left, plan.most)

    def _student(self, arm: Arm) -> Student:
        return next(one for one in self.plan.students if one.model == arm.student)


def final_within(
    seconds: float, plan: Plan, student: Student, ratio: float, slower: float
) -> tuple[int, int]:
    """Seeds and epochs of the final.

    Args:
        seconds: that are left.
        plan: as many seeds as it has, unless the runs would be too short.
        student: the winner's.
        ratio: how many times the seconds of plain training an epoch of distillation takes.
        slower: how many times the expected seconds this machine takes.
    """
    wanted = _SHORTER * min(plan.epochs, plan.wanted)
    for seeds in range(plan.seeds, 0, -1):

        def needed(epochs: int, seeds: int = seeds) -> float:
            return slower * plan.final_seconds(epochs, seeds, student, ratio)

        epochs = _most(needed, _SURE * seconds, plan.most)
        if epochs >= wanted:
            break
    return seeds, epochs


def _most(needed: Callable[[int], float], seconds: float, most: int) -> int:
    """The most epochs that take no longer; the fewest that are worth anything if even those do."""
    found = LEAST_EPOCHS
    for epochs in range(LEAST_EPOCHS, most + 1):
        if needed(epochs) > seconds:
            break
        found = epochs
    return found
