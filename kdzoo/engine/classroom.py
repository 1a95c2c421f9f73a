"""The lessons of a run: one Knowledge instance, with its connectors, for each arrow of the scheme."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kdzoo.api.batch import Batch, Output
from kdzoo.api.knowledge import Knowledge
from kdzoo.api.scheme import Lesson
from kdzoo.engine.role import Role
from kdzoo.engine.seeds import derive_seed, seeded
from kdzoo.errors import KdzooError

if TYPE_CHECKING:
    from kdzoo.engine.run import TrainingRun

Arrow = tuple[str, str]

_PREFIX, _ARROW = "knowledge/", "<-"
"""A checkpoint holds an arrow's connectors under ``knowledge/student<-teacher``."""


class Classroom:
    """Builds the knowledge of each arrow when it is first taught, and sums the lessons of a batch."""

    def __init__(self, make: Callable[[], Knowledge] | None) -> None:
        self._make = make
        self.connectors: dict[Arrow, Role] = {}

    def teach(self, run: TrainingRun, batch: Batch, *, detach: bool) -> Tensor:
        """The knowledge summed over the scheme's lessons; zero where there is none."""
        if self._make is None:
            return torch.zeros((), device=run.device)
        lessons = [lesson for lesson in run.scheme.lessons(run, batch) if _counts(lesson)]
        for lesson in lessons:
            self._ensure(run, lesson, batch)
        losses = [self._lesson(run, lesson, batch, detach) for lesson in lessons]
        return torch.stack(losses).sum() if losses else torch.zeros((), device=run.device)

    def restore(self, run: TrainingRun, batch: Batch, names: Iterable[str]) -> None:
        """After a resume, build the knowledge of every arrow that the checkpoint has, before anything is seen.

        Else the first step would see each network once more than the uninterrupted run did.
        """
        for name in list(names):
            if self._make is None or not name.startswith(_PREFIX):
                continue
            student, teacher = name.removeprefix(_PREFIX).split(_ARROW)
            if all(_can_see(run, role, batch) for role in (student, teacher)):
                self._ensure(run, Lesson(student, teacher), batch)

    def _lesson(self, run: TrainingRun, lesson: Lesson, batch: Batch, detach: bool) -> Tensor:
        knowledge = self._knowledge(lesson)
        student = shown(run, lesson.student, knowledge, "student", run.see(lesson.student, batch))
        teacher = shown(run, lesson.teacher, knowledge, "teacher", run.see(lesson.teacher, batch))
        if detach:
            teacher = teacher.detach()
        with torch.autocast(run.device.type, enabled=False):
            loss: Tensor = knowledge(student.map(Tensor.float), teacher.map(Tensor.float), batch)
        if loss.ndim == 0:
            if isinstance(lesson.weight, Tensor) and lesson.weight.ndim:
                raise KdzooError(
                    f"scheme {run.scheme.name!r} weighs each sample; knowledge {knowledge.name!r} gives one loss "
                    f"for the whole batch: choose a knowledge that is a mean over samples"
                )
            return loss * lesson.weight
        return (loss * lesson.weight).mean()

    def _ensure(self, run: TrainingRun, lesson: Lesson, batch: Batch) -> None:
        """Build the arrow's knowledge from two samples, seen in eval mode, without touching any state."""
        arrow = (lesson.student, lesson.teacher)
        if arrow in self.connectors:
            return
        assert self._make is not None
        name = f"{_PREFIX}{lesson.student}{_ARROW}{lesson.teacher}"
        with seeded(derive_seed(run.recipe.seed, name)):
            knowledge = self._make()
            taps = knowledge.taps
            for side, one in (("student", lesson.student), ("teacher", lesson.teacher)):
                run.tap(one, *taps.of(side), embedding=taps.embedding, probes=taps.probes_of(side))
            student, teacher = _probe(run, lesson, batch)
            knowledge.build(
                shown(run, lesson.student, knowledge, "student", student),
                shown(run, lesson.teacher, knowledge, "teacher", teacher),
                run,
            )
        role = Role(name, run.begun(knowledge), run.recipe.optim)
        self.connectors[arrow] = role
        run.begin(role)

    def _knowledge(self, lesson: Lesson) -> Knowledge:
        module = self.connectors[lesson.student, lesson.teacher].module
        assert isinstance(module, Knowledge)
        return module


def _can_see(run: TrainingRun, role: str, batch: Batch) -> bool:
    """Whether somebody plays the role, and the batch has what it reads: a phase may run on something else."""
    member = run.members.get(role)
    return run.knows(role) and (member is None or member.reads is not None or member.modality in batch.inputs)


def _counts(lesson: Lesson) -> bool:
    return isinstance(lesson.weight, Tensor) or lesson.weight != 0


def shown(run: TrainingRun, role: str, knowledge: Knowledge, side: str, output: Output) -> Output:
    """The stages that this knowledge asked for, out of all that the role exposes."""
    taps = knowledge.taps
    wanted, probes = taps.of(side), taps.probes_of(side)
    member = run.members.get(role)
    if member is not None and member.reads is None:
        return member.show(output, wanted, taps.embedding, probes)
    missing = []
    if len(output.features) < len(wanted):
        missing.append(f"{len(wanted)} stages" if len(wanted) > 1 else "a stage")
    if taps.embedding and output.embedding is None:
        missing.append("the embedding")
    if not set(probes) <= set(output.extras):
        missing.append("values inside a timm model")
    if missing:
        shown = ("logits and " + _count(output.features)) if output.features else "logits alone"
        raise KdzooError(
            f"knowledge {knowledge.name!r} compares {' and '.join(missing)}; the role {role!r} of scheme "
            f"{run.scheme.name!r} is computed from others and has {shown}: choose a knowledge on logits"
        )
    features = output.features[len(output.features) - len(wanted) :]
    return Output(output.logits, features, output.embedding if taps.embedding else None, output.extras)


def _count(features: tuple[Tensor, ...]) -> str:
    return "one stage" if len(features) == 1 else f"{len(features)} stages"


def _probe(run: TrainingRun, lesson: Lesson, batch: Batch) -> tuple[Output, Output]:
    few = Batch(
        batch.index[:2],
        {name: images[:2].detach() for name, images in batch.inputs.items()},
        None if batch.target is None else batch.target[:2],
        batch.progress,
    )
    modes = [
        (module, module.training) for member in run.members.values() for module in member.module.modules()
    ]
    for member in run.members.values():
        member.module.eval()
    try:
        with torch.no_grad():
            return run.see(lesson.student, few), run.see(lesson.teacher, few)
    finally:
        for module, mode in modes:
            module.training = mode
