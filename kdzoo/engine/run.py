"""The running recipe, as algorithms, schemes and knowledge see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from kdzoo.api.assembled import Assembled
from kdzoo.api.batch import UNLABELLED, Batch, Output
from kdzoo.api.network import Backbone
from kdzoo.api.probe import Probe
from kdzoo.api.run import Data
from kdzoo.api.scheme import Lesson, Scheme
from kdzoo.engine.answers import Answers
from kdzoo.engine.class_weights import balanced_weights
from kdzoo.engine.columns import Columns, columns_of
from kdzoo.engine.evaluate import task_loss
from kdzoo.engine.gallery import Gallery
from kdzoo.engine.generators import Generators
from kdzoo.engine.lessons import Lessons, Part
from kdzoo.engine.listeners import Listener, Listeners
from kdzoo.engine.networks import Networks
from kdzoo.engine.role import Role
from kdzoo.engine.roster import Roster
from kdzoo.engine.sharded import is_sharded
from kdzoo.engine.store import Replays
from kdzoo.engine.updates import Updates
from kdzoo.engine.work import Work
from kdzoo.errors import KdzooError
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.optim import OptimConfig

_WORK = "work"
"""The key of the counts in a checkpoint."""


class TrainingRun:
    """Implements :class:`kdzoo.api.Run` by parts, each in a file of its own; the loop around it is in ``loop.py``.

    The losses of several pieces of ``knowledge`` are added for each arrow. Without a gallery no picture is saved.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Data,
        fabric: Fabric,
        scheme: Scheme,
        knowledge: Sequence[Part],
        networks: Networks,
        gallery: Gallery | None = None,
        listeners: Sequence[Listener] = (),
        store: Replays | None = None,
    ) -> None:
        self.recipe = recipe
        self.data = data
        self.fabric = fabric
        self.device = fabric.device
        self.scheme = scheme
        self.networks = networks
        self.gallery = gallery or Gallery(Path(), lambda event: None, writes=False)
        self.folder = self.gallery.folder
        self.phase = ""
        self.state: dict[str, Any] = {}
        self.saved: dict[str, Any] = {}  # by name, until the part or role with this state is created
        self.roster = Roster(fabric)
        self.work = Work(self.roster)
        self.listeners = Listeners(self, [self.work, *listeners])
        self.answers = Answers(self.roster, self.autocast, self.listeners, store)
        self.updates = Updates(self.roster, fabric, self.saved, recipe.optim.grad_accum_steps)
        self.lessons = Lessons(knowledge, scheme, self.roster, self.answers, self.updates)
        self.generators = Generators(recipe.seed, fabric.device, fabric.global_rank, self.saved)
        # Methods of a single part are used directly.
        self.members, self.connectors = self.roster.members, self.roster.connectors
        self.build, self.picture = networks.build, self.gallery.save
        self.see, self.evaluating = self.answers.see, self.answers.evaluating
        self.measuring, self.generator = self.answers.measuring, self.generators.get

    def move(self, fabric: Fabric) -> None:
        """Continue on the device of ``fabric``, where the networks are now; random generators restart."""
        self.fabric = self.roster.fabric = fabric
        self.device = fabric.device
        self.generators.move(fabric.device)

    @property
    def roles(self) -> Mapping[str, nn.Module]:
        """Every enrolled module by role."""
        return {name: member.module for name, member in self.members.items()}

    @property
    def students(self) -> tuple[str, ...]:
        """The roles that learn as networks on the task."""
        return self.roster.students

    def enroll(
        self,
        role: str,
        module: nn.Module,
        *,
        learns: bool = True,
        student: bool | None = None,
        modality: str | None = None,
        reads: str | None = None,
        stages: tuple[int, ...] = (),
        train_mode: bool | None = None,
        optim: OptimConfig | None = None,
    ) -> nn.Module:
        """See :meth:`kdzoo.api.Run.enroll`."""
        if learns:
            if is_sharded(module):
                raise KdzooError(
                    f"roles.{role}.shard: only a frozen teacher is kept in parts, and this one learns"
                )
            self.networks.trained_now(module)
        member = Role(
            role,
            module,
            (optim or self.recipe.optim) if learns else None,
            student=learns and isinstance(module, Backbone | Assembled) if student is None else student,
            modality=modality or self.networks.modality(module),
            train_mode=train_mode,
            stored=train_mode is not None or not self.networks.from_file(module),
            reads=reads,
            read_stages=tuple(sorted(stages)),
            model_ema=self.recipe.model_ema,
        )
        self.roster.enroll(member)
        if reads is not None:
            self.tap(reads, *stages)
        self.answers.forget([role])
        self.updates.begin(member)
        return module

    def derive(self, role: str, compute: Callable[[Batch], Output]) -> None:
        """See :meth:`kdzoo.api.Run.derive`."""
        self.roster.derive(role, compute)
        self.answers.forget([role])

    def tap(self, role: str, *stages: int, embedding: bool = False, probes: tuple[Probe, ...] = ()) -> None:
        """See :meth:`kdzoo.api.Run.tap`."""
        if self.roster.tap(role, *stages, embedding=embedding, probes=probes):
            self.answers.forget([role])

    def autocast(self) -> AbstractContextManager[None]:
        """The recipe's precision, for what networks compute."""
        return self.fabric.autocast()

    def columns(self, role: str) -> Columns | None:
        """Which logit of ``role`` stands for which class; None if they are the data's classes in order."""
        module = self.members[role].module if role in self.members else None
        return columns_of(module, self.data) if module is not None else None

    def task(self, role: str, batch: Batch) -> Tensor:
        """See :meth:`kdzoo.api.Run.task`."""
        if batch.target is None:
            return torch.zeros((), device=self.device)
        output = self.see(role, batch)
        if not output.has_logits and not bool((batch.target != UNLABELLED).any()):
            return torch.zeros((), device=self.device)
        logits = output.logits
        weights = self.class_weights if self.recipe.data.class_weights else None
        return task_loss(logits, batch.target, self.columns(role), self.recipe.smoothing, weights)

    @cached_property
    def class_weights(self) -> Tensor:
        """(K,) the weights of the classes in the task loss; computed when a task loss is."""
        return balanced_weights(self.data.labels, len(self.data.classes))

    def teach(self, batch: Batch, *, detach: bool = True) -> Tensor:
        """See :meth:`kdzoo.api.Run.teach`."""
        loss = self.lessons.teach(self, batch, detach=detach)
        self.listeners.tell(Listener.taught, batch, loss)
        return loss

    def taught(self, batch: Batch, *, detach: bool = True) -> list[tuple[Lesson, Tensor]]:
        """See :meth:`kdzoo.api.Run.taught`."""
        found = self.lessons.taught(self, batch, detach=detach)
        if found:
            self.listeners.tell(Listener.taught, batch, torch.stack([loss for _, loss in found]).sum())
        return found

    def reduce(self, tensor: Tensor, how: Literal["mean", "sum", "max"] = "mean") -> Tensor:
        """See :meth:`kdzoo.api.Run.reduce`."""
        reduced = tensor.detach().clone()
        if self.fabric.world_size > 1:
            reduced = cast(Tensor, self.fabric.all_reduce(reduced, reduce_op=how))
        return reduced

    def update(self, loss: Tensor, *roles: str) -> None:
        """See :meth:`kdzoo.api.Run.update`."""
        self.answers.forget(self.updates.apply(loss, *roles))
        if self.updates.complete:
            self.listeners.tell(Listener.updated, loss, roles)

    # For the loop

    @property
    def finite(self) -> Tensor:
        """Whether every loss so far was finite."""
        return self.updates.finite

    @property
    def lr(self) -> float | None:
        """The student's learning rate now."""
        return self.members["student"].lr if "student" in self.members else None

    def begin_phase(self, epochs: int, steps: int) -> None:
        """Give every learner a fresh optimizer and schedule."""
        self.answers.clear()
        self.updates.begin_phase(epochs, steps)

    def begin_step(self, step: int, batch: Batch) -> Batch:
        """Set learning rates and build new knowledge for the ``step``-th step; the batch with its progress."""
        batch = replace(batch, progress=self.updates.begin_step(step))
        self.prepare(batch)
        return batch

    def prepare(self, batch: Batch) -> None:
        """Build the knowledge of new arrows, from two samples of ``batch``."""
        self.lessons.prepare(self, batch, tuple(self.saved))

    def end_step(self) -> None:
        """Call ``Scheme.after_step`` if the weights have changed, and drop the stored outputs."""
        self.lessons.part_losses.clear()
        self.updates.end_step()
        if self.updates.complete:
            self.scheme.after_step(self)
        self.answers.clear()

    def end_phase(self) -> None:
        """Let the students go on with the averages of their weights, if the recipe wants these."""
        self.updates.end_phase()
        self.answers.clear()

    @contextmanager
    def averaged(self) -> Iterator[bool]:
        """Every student with the average of its weights inside the block; whether there is one."""
        with ExitStack() as stack:
            found = [stack.enter_context(member.averaged()) for member in self.members.values()]
            yield any(found)

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimizers and generators, as tensors and plain values."""
        work = {_WORK: dict(self.work.counts)}
        return {**self.saved, **self.updates.state_dict(), **self.generators.state_dict(), **work}

    def restore(self, content: dict[str, Any], step: int) -> None:
        """Restore what :meth:`state_dict` returned; what does not exist yet gets its state when it is created.

        Raises:
            KdzooError: the checkpoint's roles or shapes are not those of this recipe.
        """
        self.saved.clear()
        self.saved.update(content)
        self.work.counts = Counter(self.saved.pop(_WORK, {}))
        self.generators.clear()
        self.updates.restore(step)
