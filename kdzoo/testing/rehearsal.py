"""Single lessons for checks: a prepared run, one batch, each arrow of the scheme."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor

from kdzoo.api.batch import Batch, Output
from kdzoo.api.knowledge import Knowledge
from kdzoo.api.run import Run
from kdzoo.data.open import open_data
from kdzoo.engine.components import knowledge_of, scheme_of
from kdzoo.engine.listeners import Listener
from kdzoo.engine.networks import Networks
from kdzoo.engine.run import TrainingRun
from kdzoo.errors import KdzooError
from kdzoo.recipe.roles import RoleConfig
from kdzoo.seeds import seed_everything
from kdzoo.testing.subject import Subject
from kdzoo.testing.watch import running, watch

_MIDDLE = 0.5
"""The batch's progress in the run: at the start, a loss with warm-up is rightly zero."""


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """One arrow's lesson on one batch, detached from the networks.

    Attributes:
        run: its run.
        knowledge: the arrow's built knowledge.
        student, teacher: the outputs of the two roles as float32 leaves that require gradients.
        batch: the batch of both.

    """

    run: TrainingRun
    knowledge: Knowledge
    student: Output
    teacher: Output
    batch: Batch

    def loss(
        self, student: Output | None = None, teacher: Output | None = None, batch: Batch | None = None
    ) -> Tensor:
        """The knowledge's loss, (B,) or a scalar, optionally for other outputs."""
        found: Tensor = self.knowledge(student or self.student, teacher or self.teacher, batch or self.batch)
        return found

    def fixed(self, seed: int = 0) -> Callable[..., Tensor]:
        """:meth:`loss` from one state: before each call generators are seeded, after it buffers are restored.

        Args:
            seed: of the generators, the global ones and those of the run.
        """
        modules = list(self.knowledge.modules())
        buffers = [dict(module._buffers) for module in modules]

        def loss(
            student: Output | None = None, teacher: Output | None = None, batch: Batch | None = None
        ) -> Tensor:
            for module, own in zip(modules, buffers, strict=True):
                module._buffers.update({name: _copy(one) for name, one in own.items()})
            self.run.generators.seed(seed)
            seed_everything(seed)
            try:
                return self.loss(student, teacher, batch)
            finally:
                for module, own in zip(modules, buffers, strict=True):
                    module._buffers.update(own)

        return loss


def prepared(subject: Subject, *, listeners: Sequence[Listener] = (), **changes: Any) -> TrainingRun:
    """A run of the subject's small recipe with its roles enrolled, at the start of a phase of one epoch."""
    recipe = subject.recipe(**changes)
    alone = LightningEnvironment()  # else Fabric warns on machines with Slurm
    fabric = Fabric(accelerator="cpu", devices=1, precision=recipe.precision, plugins=alone)
    data = open_data(recipe.data, seed=recipe.seed, device=fabric.device)
    networks = Networks(recipe, data, fabric.device, _no_training)
    scheme, knowledge = scheme_of(recipe, subject.zoo), knowledge_of(recipe, subject.zoo)
    run = TrainingRun(recipe, data, fabric, scheme, knowledge, networks, listeners=listeners)
    run.scheme.enroll(run)
    run.begin_phase(1, len(data.train))
    return run


def rehearse(subject: Subject, **changes: object) -> list[Rehearsal]:
    """The lesson of each arrow on one batch.

    The first batch if there is a lesson; else the last one of a run, since some schemes need their algorithm
    first.

    Raises:
        KdzooError: there is no lesson in the whole run.
    """
    found = _at_once(subject, changes) or _in_a_run(subject, changes)
    if not found:
        raise KdzooError("nothing is taught in the small recipe, so there is no loss to look at")
    return found


def _at_once(subject: Subject, changes: Mapping[str, Any]) -> list[Rehearsal]:
    """On the first batch, without the algorithm; empty if the scheme has no lesson yet."""
    try:
        run = prepared(subject, **changes)
        batch = replace(run.begin_step(0, next(iter(run.data.train))), progress=_MIDDLE)
        run.teach(batch)
    except KdzooError:
        return []  # if the run fails too, it says why
    return list(_lessons(run, batch, subject))


def _in_a_run(subject: Subject, changes: Mapping[str, object]) -> list[Rehearsal]:
    """On the last batch of a run with a lesson."""
    last = _LastLessons(subject)
    watch(subject, changes=changes, listeners=[last])
    return last.found


class _LastLessons(Listener):
    """Keeps the lessons of the last batch that had any."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.found: list[Rehearsal] = []

    def taught(self, run: Run, batch: Batch, loss: Tensor) -> None:
        """Keep this batch's lessons, if there are any."""
        self.found = list(_lessons(running(run), batch, self._subject)) or self.found


def _lessons(run: TrainingRun, batch: Batch, subject: Subject) -> Iterator[Rehearsal]:
    given = {(lesson.student, lesson.teacher) for lesson in run.scheme.lessons(run, batch)}
    for arrow in run.connectors:
        if arrow not in given:
            continue
        for name, knowledge in run.lessons.knowledges(arrow).items():
            if subject.found.kind == "knowledge" and name != subject.found.name:
                continue  # another part of a sum
            student = run.lessons.shown(arrow[0], knowledge, "student", run.see(arrow[0], batch))
            teacher = run.lessons.shown(arrow[1], knowledge, "teacher", run.see(arrow[1], batch))
            frozen = teacher.detach().map(Tensor.float)
            yield Rehearsal(run, knowledge, leaves(student), frozen, replace(batch, progress=_MIDDLE))


def _copy(buffer: Tensor | None) -> Tensor | None:
    return None if buffer is None else buffer.clone()


def leaves(output: Output) -> Output:
    """The same output as float32 leaves that require gradients."""
    return output.map(lambda one: one.detach().float().requires_grad_())


def picked(output: Output, rows: Tensor) -> Output:
    """The selected samples of an output."""
    size = tensors_of(output)[0].shape[0]
    return leaves(output.map(lambda one: one.index_select(0, rows) if one.shape[:1] == (size,) else one))


def picked_batch(batch: Batch, rows: Tensor) -> Batch:
    """The selected samples of a batch."""
    return Batch(
        batch.index[rows],
        {name: images[rows] for name, images in batch.inputs.items()},
        None if batch.target is None else batch.target[rows],
        batch.progress,
    )


def tensors_of(output: Output) -> list[Tensor]:
    """Every tensor of an output."""
    found: list[Tensor] = []
    output.map(lambda one: found.append(one) or one)  # type: ignore[func-returns-value]  # append returns None
    return found


def value(loss: Tensor) -> float:
    """The value of a loss: its mean."""
    return float(loss.detach().double().mean())


def relative(one: float, other: float) -> float:
    """The difference of two values, relative to the larger one."""
    return abs(one - other) / max(abs(one), abs(other), 1e-12)


def _no_training(role: str, config: RoleConfig) -> Path:
    raise KdzooError(
        f"the role {role!r} needs weights: name roles.{role}.checkpoint in the settings of the check"
    )


def same_seed() -> None:
    """Reset torch's global generator, so that it draws the same numbers again."""
    torch.manual_seed(0)
