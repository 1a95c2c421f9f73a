"""The running recipe, as algorithms, schemes and knowledge see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from kdzoo.api.batch import Batch, Output
from kdzoo.api.probe import Probe
from kdzoo.api.run import Data
from kdzoo.api.scheme import Scheme
from kdzoo.engine.answers import Answers
from kdzoo.engine.columns import Columns, columns_of
from kdzoo.engine.gallery import Gallery
from kdzoo.engine.generators import Generators
from kdzoo.engine.lessons import Lessons, Part
from kdzoo.engine.listeners import Listener, Listeners
from kdzoo.engine.role import Role
from kdzoo.engine.roster import Arrow, NetworkSource, Roster
from kdzoo.engine.saved import Saved
from kdzoo.engine.task import task_loss
from kdzoo.engine.updates import Updates
from kdzoo.recipe.model import OptimConfig, Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TrainingRun:
    """Implements :class:`kdzoo.api.Run`; the loop around it is in :mod:`kdzoo.engine.loop`.

    Its parts, each in a file of its own: the roster (who plays which role), the answers (what roles see), the updates
    (how they learn), the lessons (what is taught), the generators (random numbers), the gallery (pictures).

    Args:
        recipe: what is run.
        data: its splits.
        fabric: device and processes.
        scheme: who teaches whom.
        knowledge: what is taught; several are added.
        networks: where networks come from.
        gallery: where pictures go; default: nowhere.
        listeners: are told what happens.

    """

    def __init__(
        self,
        recipe: Recipe,
        data: Data,
        fabric: Fabric,
        scheme: Scheme,
        knowledge: Sequence[Part],
        networks: NetworkSource,
        gallery: Gallery | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.recipe = recipe
        self.data = data
        self.fabric = fabric
        self.device = fabric.device
        self.scheme = scheme
        self.networks = networks
        self.gallery = gallery or Gallery(Path(), lambda event: None, writes=False)
        self.folder = self.gallery.folder
        self.state: dict[str, Any] = {}
        self.listeners = Listeners(self, listeners)
        self.saved = Saved()
        self.roster = Roster(networks, fabric, recipe.optim)
        self.answers = Answers(self.roster, self.autocast, self.listeners)
        self.updates = Updates(self.roster, fabric, self.saved)
        self.lessons = Lessons(knowledge, scheme, recipe.seed, self.roster, self.answers, self.updates)
        self.generators = Generators(recipe.seed, fabric.device, fabric.global_rank, self.saved)

    def move(self, fabric: Fabric) -> None:
        """Go on on the device of ``fabric``, to which the networks have been moved; random numbers begin anew."""
        self.fabric, self.device = fabric, fabric.device
        self.roster.fabric = fabric
        self.generators = Generators(self.recipe.seed, fabric.device, fabric.global_rank, self.saved)

    # Roles

    @property
    def members(self) -> Mapping[str, Role]:
        """Enrolled roles by name."""
        return self.roster.members

    @property
    def connectors(self) -> Mapping[Arrow, Role]:
        """The knowledge of each arrow that has been built."""
        return self.roster.connectors

    @property
    def roles(self) -> Mapping[str, nn.Module]:
        """Every enrolled module by role."""
        return {name: member.module for name, member in self.roster.members.items()}

    @property
    def students(self) -> tuple[str, ...]:
        """The roles that learn as networks on the task."""
        return self.roster.students

    def build(
        self,
        role: str,
        *,
        like: str | None = None,
        num_classes: int | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> nn.Module:
        """See :meth:`kdzoo.api.Run.build`."""
        return self.networks.build(role, like, num_classes, arguments)

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
        member = self.roster.enroll(
            role,
            module,
            learns=learns,
            student=student,
            modality=modality,
            reads=reads,
            stages=stages,
            train_mode=train_mode,
            optim=optim,
        )
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

    # What roles answer

    def see(self, role: str, batch: Batch) -> Output:
        """See :meth:`kdzoo.api.Run.see`."""
        return self.answers.see(role, batch)

    def measuring(self) -> AbstractContextManager[None]:
        """Every role in eval mode and no graph; modes are put back."""
        return self.answers.measuring()

    def evaluating(self, *roles: str) -> AbstractContextManager[None]:
        """See :meth:`kdzoo.api.Run.evaluating`."""
        return self.answers.evaluating(*roles)

    def autocast(self) -> AbstractContextManager[None]:
        """The recipe's precision, for what networks compute."""
        context: AbstractContextManager[None] = self.fabric.autocast()
        return context

    def columns(self, role: str) -> Columns | None:
        """Which logit of ``role`` stands for which class; None where they are those of the data, in order."""
        module = self.members[role].module if role in self.members else None
        if getattr(module, "label_names", None) is None:
            return None
        assert module is not None
        return columns_of(module, self.data.classes)

    # What roles learn

    def task(self, role: str, batch: Batch) -> Tensor:
        """See :meth:`kdzoo.api.Run.task`."""
        if batch.target is None:
            return torch.zeros((), device=self.device)
        logits = self.see(role, batch).logits
        return task_loss(logits, batch.target, self.columns(role), self.recipe.smoothing)

    def teach(self, batch: Batch, *, detach: bool = True) -> Tensor:
        """See :meth:`kdzoo.api.Run.teach`."""
        loss = self.lessons.teach(self, batch, detach=detach)
        self.listeners.tell(Listener.taught, batch, loss)
        return loss

    def update(self, loss: Tensor, *roles: str) -> None:
        """See :meth:`kdzoo.api.Run.update`."""
        self.answers.forget(self.updates.apply(loss, *roles))
        self.listeners.tell(Listener.updated, loss, roles)

    def generator(self, name: str) -> torch.Generator:
        """See :meth:`kdzoo.api.Run.generator`."""
        return self.generators.get(name)

    def picture(self, name: str, picture: Tensor | Figure) -> None:
        """See :meth:`kdzoo.api.Run.picture`."""
        self.gallery.save(name, picture)

    # For the loop

    @property
    def finite(self) -> Tensor:
        """Whether every loss so far was finite."""
        return self.updates.finite

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
        self.lessons.prepare(self, batch, tuple(self.saved.waiting))

    def end_step(self) -> None:
        """Let the scheme follow, and drop what was seen."""
        self.lessons.part_losses.clear()
        self.scheme.after_step(self)
        self.answers.clear()

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimizers and generators, as tensors and plain values."""
        return {**self.saved.waiting, **self.updates.state_dict(), **self.generators.state_dict()}

    def restore(self, content: dict[str, Any], step: int) -> None:
        """Restore what :meth:`state_dict` returned; who does not exist yet gets its state when it is made.

        Raises:
            KdzooError: the checkpoint's roles or shapes are not those of this recipe.

        """
        self.saved.restore(content)
        self.generators.clear()
        self.updates.restore(step)
