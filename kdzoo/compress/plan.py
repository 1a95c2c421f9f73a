"""What is tried in the time that is given: students, methods, rungs, epochs and seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kdzoo.bench.progress import duration
from kdzoo.compress.request import Request
from kdzoo.compress.teacher import Teacher
from kdzoo.recipe.section import Section
from kdzoo.registry.model import Situation

CONTROLS = 3
"""Beside the winner in the final: plain training, label smoothing, plain training for as many seconds."""

LEAST_EPOCHS = 2
_WANTED_STEPS, _WANTED_EPOCHS = 400, 8
"""Of a final run, before more is tried instead."""

_TELLING = 1 / 3
"""Part of the wanted epochs that a rung has at least."""

_MOST_STEPS, _MOST_EPOCHS = 6_000, 60
"""Of a final run; whichever is more epochs."""

_RUN = 3.0
"""Seconds of a run beside its steps: building, measuring, exporting."""

_EPOCH = 0.05
"""Seconds of an epoch beside its steps."""

_STAGE = 10.0
"""Seconds of a suite beside its runs: its processes begin, its pictures are opened."""

_LAST = 25.0
"""Seconds for the export and its comparison with torch."""

VALIDATIONS = 4
"""Of a run, spread over its epochs."""


class Breadth(NamedTuple):
    """How much is tried: students, methods for each, and seeds of the final."""

    students: int
    methods: int
    seeds: int


LADDER = tuple(
    Breadth(*one)
    for one in (
        (4, 6, 5), (4, 4, 3), (3, 3, 3), (2, 3, 3), (1, 3, 3), (1, 2, 3), (1, 1, 3), (1, 1, 2), (1, 1, 1),
    )
)  # fmt: skip
"""From much to little; the first is taken whose final runs are as long as wanted."""


class Student(Section):
    """A candidate with its measurements.

    Attributes:
        model: in timm.
        weights: that it starts from, in every run; None: none.
        parameters: counted.
        train, answer: seconds of a worker for a picture.
        footprint: of its exported file, in words; empty where no limit asked for it.
    """

    model: str
    weights: str | None = None
    parameters: int
    train: float
    answer: float
    footprint: str = ""


class Plan(Section):
    """What is tried.

    Attributes:
        situation: which methods suit the pictures.
        teacher: how it is come by.
        students: the candidates, the largest first.
        methods: those to compare.
        seeds: of the final.
        epochs: of a final run, at first; later ones follow the time that is left.
        views: seconds of a worker for a view of a training picture.
        workers: runs at a time.
        counts: training, validation and test pictures.
        batch: pictures of a step.
        seconds: all that it will take, expected.
    """

    situation: Situation
    teacher: Teacher
    students: tuple[Student, ...]
    methods: tuple[str, ...]
    seeds: int
    epochs: int
    views: float
    workers: int
    counts: tuple[int, int, int]
    batch: int
    seconds: float = 0.0

    @property
    def labelled(self) -> bool:
        """Whether accuracies can be measured."""
        return self.situation != "no-labels"

    @property
    def wanted(self) -> int:
        """Epochs of a final run before more is tried instead."""
        return max(_WANTED_EPOCHS, math.ceil(_WANTED_STEPS / self._steps))

    @property
    def most(self) -> int:
        """Epochs of a final run beyond which time is left over."""
        return max(_MOST_EPOCHS, _MOST_STEPS // self._steps)

    @property
    def _steps(self) -> int:
        return max(1, self.counts[0] // self.batch)

    @property
    def teaching_seconds(self) -> float:
        """Of the teacher's training."""
        return 0.0 if self.teacher.train == "never" else _STAGE + self.teacher.seconds

    def rungs(self) -> list[tuple[int, int]]:
        """Arms and divisor of the final's epochs, for each rung: half of the arms go on, for twice the epochs."""
        arms = len(self.students) * len(self.methods)
        number = 0 if arms < 2 else max(1, math.ceil(math.log2(arms)) - 1)
        return [(math.ceil(arms / 2**place), 2 ** (number - place)) for place in range(number)]

    def rung_epochs(self, place: int, epochs: int) -> int:
        """Of a rung whose final has so many; in too few of them nothing can be told apart."""
        least = max(LEAST_EPOCHS, math.ceil(_TELLING * self.wanted))
        return min(epochs, max(least, epochs // self.rungs()[place][1]))

    def rung_seconds(self, place: int, epochs: int, arms: Mapping[str, int] | None = None) -> float:
        """Of a rung whose final has so many epochs.

        Args:
            place: its number, from 0.
            epochs: of a final run.
            arms: methods of each student; default: as many for each.
        """
        count, _ = self.rungs()[place]
        own = self.rung_epochs(place, epochs)
        if arms is None:
            arms = {one.model: math.ceil(count / len(self.students)) for one in self.students}
        total = sum(
            number * self.run_seconds(one, own, taught=True)
            + (self.run_seconds(one, own, taught=False) if self.labelled else 0.0)
            for one in self.students
            if (number := arms.get(one.model, 0))
        )
        runs = sum(arms.values()) + (len(arms) if self.labelled else 0)
        return _STAGE + self._wall(total, runs)

    def final_seconds(
        self, epochs: int, seeds: int, student: Student | None = None, ratio: float | None = None
    ) -> float:
        """Of the final.

        Args:
            epochs: of a run.
            seeds: how many.
            student: the winner's; default: the slowest one.
            ratio: how many times the seconds of plain training an epoch of distillation takes, where it was measured:
                a method may have much to compute beside the teacher's answers.
        """
        one = student or max(self.students, key=lambda each: each.train)
        taught = self.run_seconds(one, epochs, taught=True, tests=True)
        if ratio is not None:
            beyond = ratio - self.ratio(one)
            taught += max(0.0, beyond) * epochs * self.counts[0] * (one.train + self.views)
        if not self.labelled:
            return _STAGE + self._wall(seeds * taught, seeds) + _LAST
        plain = self.run_seconds(one, epochs, taught=False, tests=True)
        # plain training as long as distillation takes as long as distillation
        return _STAGE + self._wall(seeds * (2 * taught + 2 * plain), seeds * (CONTROLS + 1)) + _LAST

    def ratio(self, student: Student) -> float:
        """How many times the seconds of plain training distillation takes, if it adds the teacher's answers alone."""
        usual = student.train + self.views
        return (usual + self.teacher.answer) / usual

    def expected(self, epochs: int) -> float:
        """Seconds of everything with so many epochs in a final run."""
        rungs = sum(self.rung_seconds(place, epochs) for place in range(len(self.rungs())))
        return self.teaching_seconds + rungs + self.final_seconds(epochs, self.seeds)

    def run_seconds(self, student: Student, epochs: int, *, taught: bool, tests: bool = False) -> float:
        """Of one worker, for a run."""
        train, val, test = self.counts
        asked = self.teacher.answer if taught else 0.0
        looked = val * (VALIDATIONS * student.answer + asked)
        looked += test * (student.answer + asked) if tests else 0.0
        return _RUN + epochs * (_EPOCH + train * (student.train + self.views + asked)) + looked

    def _wall(self, seconds: float, runs: int) -> float:
        """Seconds of the machine for so many of one worker: the last runs may leave workers idle."""
        used = min(self.workers, max(runs, 1))
        return seconds / used * (math.ceil(runs / used) * used / max(runs, 1))

    def lines(self) -> Iterator[str]:
        """What will be done, in sentences, and how long it takes."""
        yield f"teacher: {self.teacher}{_about(self.teaching_seconds)}"
        for one in self.students:
            start = f", weights {one.weights}" if one.weights else ""
            facts = f", {one.footprint}" if one.footprint else ""
            yield f"student: {one.model}, {one.parameters / 1e6:.2f} M parameters{start}{facts}"
        beside = "; beside them plain training, label smoothing, and plain training for as many seconds"
        methods = f"{', '.join(self.methods)} (for pictures with {self.situation.replace('-', ' ')})"
        yield f"methods: {methods}{beside if self.labelled else ''}"
        by = "validation accuracy" if self.labelled else "how well they predict the teacher's features"
        for place, (arms, _) in enumerate(self.rungs()):
            took = _about(self.rung_seconds(place, self.epochs))
            own = self.rung_epochs(place, self.epochs)
            yield f"rung {place + 1}: {arms} of student and method, {own} epochs each, ranked by {by}{took}"
        entries = f"{CONTROLS + 1} entries" if self.labelled else "the winner"
        seeds = f"{self.seeds} seed{'s' * (self.seeds > 1)}"
        took = _about(self.final_seconds(self.epochs, self.seeds))
        yield f"final: {entries}, {seeds}, {self.epochs} epochs each; then the export{took}"


def fitted(
    plan: Plan, seconds: float, request: Request, students: Sequence[Student], methods: Sequence[str]
) -> Plan | None:
    """The plan with as much as fits; None if not even the least does.

    What the user names is tried, all of it.

    Args:
        plan: its teacher and measurements count.
        seconds: that are left.
        request: may name students and methods.
        students: all candidates; the first are the most wanted.
        methods: all methods; likewise.
    """
    found = None
    for breadth in LADDER:
        seeds = breadth.seeds if plan.labelled else 1
        tried = plan.model_copy(
            update={
                "students": tuple(students if request.students else students[: breadth.students]),
                "methods": tuple(methods if request.methods else methods[: breadth.methods]),
                "seeds": seeds,
            }
        )
        epochs = most_epochs(tried, seconds)
        if epochs is not None:
            found = tried.model_copy(update={"epochs": epochs, "seconds": tried.expected(epochs)})
            # one seed can tell nothing, so a second one comes before longer runs
            enough = tried.wanted / 2 if seeds == 2 else tried.wanted
            if epochs >= enough:
                return found
    return found


def most_epochs(plan: Plan, seconds: float) -> int | None:
    """The most epochs of a final run with which everything fits; None if the fewest do not."""
    if plan.expected(LEAST_EPOCHS) > seconds:
        return None
    low, high = LEAST_EPOCHS, plan.most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if plan.expected(middle) <= seconds else (low, middle - 1)
    return low


def _about(seconds: float) -> str:
    return f", about {duration(seconds)}" if seconds else ""
