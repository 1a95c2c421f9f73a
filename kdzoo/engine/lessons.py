"""The lessons of a run: the knowledge of each arrow of the scheme."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from kdzoo.api.batch import Batch, Output
from kdzoo.api.knowledge import Knowledge
from kdzoo.api.modes import evaluating
from kdzoo.api.run import Run
from kdzoo.api.scheme import Lesson, Scheme
from kdzoo.engine.answers import Answers
from kdzoo.engine.role import Role
from kdzoo.engine.roster import Arrow, Roster
from kdzoo.engine.updates import Updates
from kdzoo.errors import KdzooError
from kdzoo.seeds import derive_seed, seeded

_PREFIX, _ARROW = "knowledge/", "<-"
"""A checkpoint holds an arrow's connectors under ``knowledge/student<-teacher``."""


@dataclass(frozen=True)
class Part:
    """One term of the distillation loss.

    Attributes:
        name: the knowledge's.
        weight: the weight of its loss.
        make: makes an instance for one arrow.
    """

    name: str
    weight: float
    make: Callable[[], Knowledge]


class Parts(nn.ModuleDict):
    """The knowledges of one arrow by name; their losses are added."""


class Lessons:
    """Builds each arrow's knowledge once, and sums the lessons of a batch.

    Attributes:
        part_losses: the loss of each part in this step, unweighted, summed over the lessons; filled where there are
            several parts.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        scheme: Scheme,
        roster: Roster,
        answers: Answers,
        updates: Updates,
    ) -> None:
        self._parts = tuple(parts)
        self._scheme = scheme
        self._roster = roster
        self._answers = answers
        self._updates = updates
        self.part_losses: dict[str, Tensor] = {}

    def prepare(self, run: Run, batch: Batch, saved: Iterable[str] = ()) -> None:
        """Build the knowledge of every arrow whose two roles can process ``batch``, before any forward pass on it.

        So every network outputs the tapped stages from the first step on, whatever the algorithm calls first.

        Args:
            run: the run, for the scheme and the knowledge.
            batch: two of its samples are used to find the shapes.
            saved: names in a checkpoint; the arrows among them are built too.
        """
        if not self._parts:
            return
        known = [_arrow(name) for name in saved if name.startswith(_PREFIX)]
        for arrow in (*self._scheme.arrows(run), *known):
            seen = all(self._roster.can_see(role, batch) for role in arrow)
            if seen and arrow not in self._roster.connectors:
                self._build(run, arrow, batch)

    def teach(self, run: Run, batch: Batch, *, detach: bool) -> Tensor:
        """The distillation loss, summed over the scheme's lessons; zero without lessons."""
        losses = [loss for _, loss in self.taught(run, batch, detach=detach)]
        return torch.stack(losses).sum() if losses else torch.zeros((), device=self._roster.device)

    def taught(self, run: Run, batch: Batch, *, detach: bool) -> list[tuple[Lesson, Tensor]]:
        """See :meth:`kdzoo.api.Run.taught`."""
        if not self._parts:
            return []
        lessons = [
            lesson
            for lesson in self._scheme.lessons(run, batch)
            if isinstance(lesson.weight, Tensor) or lesson.weight != 0
        ]
        for lesson in lessons:
            if (lesson.student, lesson.teacher) not in self._roster.connectors:
                self._build(run, (lesson.student, lesson.teacher), batch)
        return [(lesson, self._lesson(lesson, batch, detach)) for lesson in lessons]

    def knowledges(self, arrow: Arrow) -> dict[str, Knowledge]:
        """The knowledges of ``arrow``, by name."""
        module = self._roster.connectors[arrow].module
        if isinstance(module, Knowledge):
            return {self._parts[0].name: module}
        assert isinstance(module, Parts)
        return {name: part for name, part in module.items() if isinstance(part, Knowledge)}

    def shown(self, role: str, knowledge: Knowledge, side: str, output: Output) -> Output:
        """The part of the output of ``role`` that this knowledge tapped.

        Raises:
            KdzooError: the role is computed from others and lacks some of it.
        """
        taps = knowledge.taps
        wanted, probes = taps.of(side), taps.probes_of(side)
        member = self._roster.members.get(role)
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
                f"{self._scheme.name!r} is computed from others and has {shown}: choose a knowledge on logits"
            )
        features = output.features[len(output.features) - len(wanted) :]
        return output.showing(features, output.embedding if taps.embedding else None, output.extras)

    def _lesson(self, lesson: Lesson, batch: Batch, detach: bool) -> Tensor:
        member = self._roster.members.get(lesson.teacher)
        if member is not None and not member.module.training:
            # before the student fills the memory with its activations: a tenth of the teacher's time on a CPU
            self._answers.see(lesson.teacher, batch)
        student = self._answers.see(lesson.student, batch)
        teacher = self._answers.see(lesson.teacher, batch)
        if detach:
            teacher = teacher.detach()
        losses = []
        for name, knowledge in self.knowledges((lesson.student, lesson.teacher)).items():
            ours = self.shown(lesson.student, knowledge, "student", student)
            theirs = self.shown(lesson.teacher, knowledge, "teacher", teacher)
            with torch.autocast(self._roster.device.type, enabled=False):
                loss: Tensor = knowledge(ours.map(Tensor.float), theirs.map(Tensor.float), batch)
            losses.append(self._weighted(name, knowledge, loss, lesson.weight))
        return losses[0] if len(self._parts) == 1 else self._summed(losses)

    def _weighted(self, name: str, knowledge: Knowledge, loss: Tensor, weight: float | Tensor) -> Tensor:
        """A scalar: the mean over the samples, each with the lesson's weight."""
        if loss.ndim == 0 and isinstance(weight, Tensor) and weight.ndim:
            raise KdzooError(
                f"scheme {self._scheme.name!r} has a weight for each sample; knowledge {name!r} gives one loss "
                f"for the whole batch: choose a knowledge with a loss for each sample"
            )
        return (loss * weight).mean()

    def _summed(self, losses: list[Tensor]) -> Tensor:
        for part, loss in zip(self._parts, losses, strict=True):
            self.part_losses[part.name] = self.part_losses.get(part.name, 0) + loss.detach()
        return torch.stack([part.weight * loss for part, loss in zip(self._parts, losses, strict=True)]).sum()

    def _build(self, run: Run, arrow: Arrow, batch: Batch) -> None:
        """Build the arrow's knowledge from two samples, processed in eval mode, without changing any state."""
        student, teacher = arrow
        name = f"{_PREFIX}{student}{_ARROW}{teacher}"
        with seeded(derive_seed(run.recipe.seed, name)):
            made = {part.name: part.make() for part in self._parts}
            for knowledge in made.values():
                knowledge.lesson = Lesson(student, teacher)
            for taps in (knowledge.taps for knowledge in made.values()):
                for role, side in (student, "student"), (teacher, "teacher"):
                    run.tap(role, *taps.of(side), embedding=taps.embedding, probes=taps.probes_of(side))
            ours, theirs = self._see_two(arrow, batch)
            for knowledge in made.values():
                knowledge.build(
                    self.shown(student, knowledge, "student", ours),
                    self.shown(teacher, knowledge, "teacher", theirs),
                    run,
                )
        module = next(iter(made.values())) if len(made) == 1 else Parts(made)
        connectors = Role(name, module, run.recipe.optim)
        self._roster.connect(arrow, connectors)
        self._updates.begin(connectors)

    def _see_two(self, arrow: Arrow, batch: Batch) -> tuple[Output, Output]:
        few = replace(
            batch,
            index=batch.index[:2],
            inputs={name: images[:2].detach() for name, images in batch.inputs.items()},
            target=None if batch.target is None else batch.target[:2],
        )
        with evaluating(*(member.module for member in self._roster.members.values())), torch.no_grad():
            return self._answers.see(arrow[0], few), self._answers.see(arrow[1], few)


def _arrow(name: str) -> Arrow:
    student, teacher = name.removeprefix(_PREFIX).split(_ARROW)
    return student, teacher


def _count(features: tuple[Tensor, ...]) -> str:
    return "one stage" if len(features) == 1 else f"{len(features)} stages"
