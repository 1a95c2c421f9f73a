"""The running recipe: roles, what they see, what they are taught, and how they are updated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api.batch import UNLABELLED, Batch, Output
from kdzoo.api.probe import Probe
from kdzoo.api.run import Data
from kdzoo.api.scheme import Scheme
from kdzoo.engine.average import average_gradients, begin_equal
from kdzoo.engine.classroom import Classroom
from kdzoo.engine.columns import Columns, columns_of
from kdzoo.engine.gallery import Gallery
from kdzoo.engine.memo import Memo
from kdzoo.engine.role import Role
from kdzoo.engine.seeds import derive_seed
from kdzoo.errors import KdzooError
from kdzoo.recipe.model import OptimConfig, Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONNECTORS = "knowledge"
"""The role under which every connector is updated."""


class NetworkSource(Protocol):
    """Where a run's networks come from; see :class:`kdzoo.engine.networks.Networks`."""

    def build(
        self,
        role: str,
        like: str | None = None,
        num_classes: int | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> nn.Module:
        """The network of ``role``, on the device, with its weights loaded."""

    def modality(self, module: nn.Module) -> str:
        """Which of a batch's inputs a network that was built here reads."""

    def from_file(self, module: nn.Module) -> bool:
        """Whether the module's weights are those of a file, so that a checkpoint need not hold them."""

    def trained_now(self, module: nn.Module) -> None:
        """From here on its weights are its own."""

    def is_backbone(self, module: nn.Module) -> bool:
        """Whether the module answers as a network on the task."""


class TrainingRun:
    """Implements :class:`kdzoo.api.Run`; the loop around it is in :mod:`kdzoo.engine.loop`."""

    def __init__(
        self,
        recipe: Recipe,
        data: Data,
        fabric: Fabric,
        scheme: Scheme,
        classroom: Classroom,
        networks: NetworkSource,
        gallery: Gallery | None = None,
    ) -> None:
        self.recipe = recipe
        self.data = data
        self.fabric = fabric
        self.device = fabric.device
        self.scheme = scheme
        self.classroom = classroom
        self.networks = networks
        self.gallery = gallery or Gallery(Path(), lambda event: None, writes=False)
        self.folder = self.gallery.folder
        self.state: dict[str, Any] = {}
        self.members: dict[str, Role] = {}
        self.generators: dict[str, torch.Generator] = {}
        self.finite = torch.ones((), dtype=torch.bool, device=self.device)
        self._derived: dict[str, Callable[[Batch], Output]] = {}
        self._memo = Memo()
        self._origins: list[set[str]] = []
        self._looking: Batch | bool | None = None
        self._phase: tuple[int, int] | None = None
        self._step = 0
        self._pending: dict[str, dict[str, Any]] = {}

    # Roles

    @property
    def roles(self) -> Mapping[str, nn.Module]:
        """Every enrolled module by role."""
        return {name: member.module for name, member in self.members.items()}

    @property
    def students(self) -> tuple[str, ...]:
        """The roles that learn as networks on the task."""
        return tuple(name for name, member in self.members.items() if member.student)

    def knows(self, role: str) -> bool:
        """Whether somebody enrolled or derived it."""
        return role in self.members or role in self._derived

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
        if role == CONNECTORS:
            raise KdzooError(f"the role {CONNECTORS!r} is that of the connectors; choose another name")
        from_file = self.networks.from_file(module) and not learns and train_mode is None
        if learns:
            self.networks.trained_now(module)
        before = self.members.get(role)
        self.members[role] = Role(
            role,
            self.begun(module),
            (optim or self.recipe.optim) if learns else None,
            student=(learns and self.networks.is_backbone(module)) if student is None else student,
            modality=modality or self.networks.modality(module),
            train_mode=train_mode,
            stored=not from_file,
            stages=before.stages if before else (),
            embedding=before.embedding if before else False,
            probes=before.probes if before else (),
            reads=reads,
            read_stages=tuple(sorted(stages)),
        )
        if reads is not None:
            self.tap(reads, *stages)
        self._derived.pop(role, None)
        self._memo.forget([role])
        if self._phase:
            self._begin(self.members[role])
        return module

    def begun(self, module: nn.Module) -> nn.Module:
        """The module on the device, with the same weights in every process."""
        module.to(self.device)
        begin_equal(self.fabric, module)
        return module

    def derive(self, role: str, compute: Callable[[Batch], Output]) -> None:
        """See :meth:`kdzoo.api.Run.derive`."""
        self.members.pop(role, None)
        self._derived[role] = compute
        self._memo.forget([role])

    def tap(self, role: str, *stages: int, embedding: bool = False, probes: tuple[Probe, ...] = ()) -> None:
        """See :meth:`kdzoo.api.Run.tap`."""
        member = self.members.get(role)
        if member is None or member.reads is not None:
            return  # such a role shows what its computation returns
        before = member.stages, member.embedding, member.probes
        member.stages = tuple(sorted({*member.stages, *stages}))
        member.embedding |= embedding
        member.probes = tuple(dict.fromkeys([*member.probes, *probes]))
        if before != (member.stages, member.embedding, member.probes):
            self._memo.forget([role])

    # What roles answer

    def see(self, role: str, batch: Batch) -> Output:
        """See :meth:`kdzoo.api.Run.see`."""
        member = self.members.get(role)
        graph = torch.is_grad_enabled() and (
            member is None
            or member.learns
            or member.reads is not None
            or any(one.requires_grad for one in batch.inputs.values())
        )
        if self._looking is not None and self._looking is not batch and not self._origins:
            self._memo.clear()  # a whole split passes by: what was seen of it is not kept
            self._looking = batch
        known = self._memo.get(role, batch, graph)
        if known is None:
            self._origins.append({role})
            try:
                output = self._answer(role, member, batch, graph)
            finally:
                origins = self._origins.pop()
            known = output, frozenset(origins)
            self._memo.put(role, batch, graph, output, origins)
        if self._origins:
            self._origins[-1] |= known[1]
        return known[0]

    def _answer(self, role: str, member: Role | None, batch: Batch, graph: bool) -> Output:
        if member is None:
            if role not in self._derived:
                known = ", ".join([*self.members, *self._derived]) or "none"
                raise KdzooError(f"no role {role!r} is enrolled; enrolled: {known}")
            return self._derived[role](batch)
        if member.reads is not None:
            read = self.see(member.reads, batch)
            source = self.members.get(member.reads)
            if source is not None and source.reads is None:
                read = source.show(read, member.read_stages, source.embedding, source.probes)
            with torch.set_grad_enabled(graph), self.autocast():
                own: Output = member.module(read)
            return own
        if member.modality not in batch.inputs:
            raise KdzooError(
                f"role {role!r} reads the modality {member.modality!r}; the data has {', '.join(batch.inputs)}"
            )
        with torch.set_grad_enabled(graph), self.autocast():
            answer: Output = member.module(
                batch.inputs[member.modality],
                member.stages,
                member.embedding,
                *([member.probes] if member.probes else []),
            )
        return answer

    def answer(self, role: str, batch: Batch) -> Output:
        """``role``'s answer with nothing tapped and nothing remembered, for measuring."""
        member = self.members[role]
        if member.reads is None:
            with self.autocast():
                output: Output = member.module(batch.inputs[member.modality])
            return output
        return self.see(role, batch)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Every role in eval mode and no graph, for measuring; modes are put back."""
        self._memo.clear()
        self._looking = True
        for member in self.members.values():
            member.module.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self._memo.clear()
            self._looking = None
            for member in self.members.values():
                member.set_mode()

    @contextmanager
    def evaluating(self, *roles: str) -> Iterator[None]:
        """See :meth:`kdzoo.api.Run.evaluating`."""
        modes = [
            (module, module.training) for role in roles for module in self.members[role].module.modules()
        ]
        self._memo.forget(roles)
        for role in roles:
            self.members[role].module.eval()
        try:
            yield
        finally:
            self._memo.forget(roles)
            for module, mode in modes:
                module.training = mode

    def picture(self, name: str, picture: Tensor | Figure) -> None:
        """See :meth:`kdzoo.api.Run.picture`."""
        self.gallery.hang(name, picture)

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
        logits = self.see(role, batch).logits.float()
        smoothing = self.recipe.smoothing
        if batch.target.is_floating_point():
            return functional.cross_entropy(logits, batch.target, label_smoothing=smoothing)
        columns = self.columns(role)
        target = batch.target if columns is None else columns.of_classes(batch.target)
        total = functional.cross_entropy(
            logits, target, ignore_index=UNLABELLED, label_smoothing=smoothing, reduction="sum"
        )
        return total / (target != UNLABELLED).sum().clamp(min=1)

    def teach(self, batch: Batch, *, detach: bool = True) -> Tensor:
        """See :meth:`kdzoo.api.Run.teach`."""
        return self.classroom.teach(self, batch, detach=detach)

    def update(self, loss: Tensor, *roles: str) -> None:
        """See :meth:`kdzoo.api.Run.update`."""
        members = self._named(roles)
        parameters = [parameter for member in members for parameter in member.parameters]
        self.finite &= torch.isfinite(loss.detach()).all()
        if loss.requires_grad and parameters:
            torch.autograd.backward(loss, inputs=parameters)
            if self.fabric.world_size > 1:
                average_gradients(self.fabric, parameters)
            for member in members:
                if member.optimizer is not None:
                    member.step()
        self._memo.forget([*roles, *(member.name for member in members)])

    def _named(self, roles: tuple[str, ...]) -> list[Role]:
        members: list[Role] = []
        for role in dict.fromkeys(roles):
            if role == CONNECTORS:
                members.extend(self.classroom.connectors.values())
            elif role in self.members and self.members[role].learns:
                members.append(self.members[role])
            else:
                why = "is frozen" if role in self.members else "is not enrolled"
                raise KdzooError(f"update: role {role!r} {why}; roles that learn: {', '.join(self.students)}")
        return members

    def generator(self, name: str) -> torch.Generator:
        """See :meth:`kdzoo.api.Run.generator`."""
        if name not in self.generators:
            made = torch.Generator(self.device)
            made.manual_seed(derive_seed(self.recipe.seed, "generator", name, self.fabric.global_rank))
            if f"generator/{name}" in self._pending:
                made.set_state(self._pending.pop(f"generator/{name}")["state"].cpu())
            self.generators[name] = made
        return self.generators[name]

    # For the loop

    def begin_phase(self, epochs: int, steps: int) -> None:
        """Give every learner a fresh optimizer and schedule."""
        self._phase, self._step = (epochs, steps), 0
        self._memo.clear()
        for member in [*self.members.values(), *self.classroom.connectors.values()]:
            self._begin(member)

    def begin_step(self, step: int, batch: Batch) -> Batch:
        """Set the learning rates of the ``step``-th step of the phase; the batch with its progress."""
        assert self._phase is not None
        self._step = step
        epochs, steps = self._phase
        for member in [*self.members.values(), *self.classroom.connectors.values()]:
            member.at_step(step)
        batch = replace(batch, progress=step / max(epochs * steps, 1))
        if self._pending:
            self.classroom.restore(self, batch, self._pending)
        return batch

    def end_step(self) -> None:
        """Let the scheme follow, and drop what was seen."""
        self.scheme.after_step(self)
        self._memo.clear()

    def begin(self, member: Role) -> None:
        """Make a module that appears within a phase trainable from this step on."""
        if self._phase:
            self._begin(member)

    def _begin(self, member: Role) -> None:
        assert self._phase is not None
        member.set_mode()
        member.start_phase(*self._phase)
        pending = self._pending.pop(member.name, None)
        if pending is not None:
            member.module.load_state_dict(pending["module"])
            if member.optimizer is not None and pending["optimizer"] is not None:
                member.optimizer.load_state_dict(pending["optimizer"])
        member.at_step(self._step)

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimizers and generators, as tensors and plain values."""
        members = {member.name: member for member in self.members.values() if member.stored}
        members |= {member.name: member for member in self.classroom.connectors.values()}
        saved: dict[str, Any] = {
            name: {
                "module": member.module.state_dict(),
                "optimizer": member.optimizer.state_dict() if member.optimizer else None,
            }
            for name, member in members.items()
        }
        saved |= {f"generator/{name}": {"state": one.get_state()} for name, one in self.generators.items()}
        # What nobody has asked for since a resume is not lost by the next checkpoint.
        return {**self._pending, **saved}

    def restore(self, saved: dict[str, Any], step: int) -> None:
        """Restore what :meth:`state_dict` returned; connectors and generators not yet made get theirs when made.

        Raises:
            KdzooError: the checkpoint's roles or shapes are not those of this recipe.
        """
        self._pending, self._step = dict(saved), step
        for name in list(self.generators):
            self.generators.pop(name)
        try:
            for member in [*self.members.values(), *self.classroom.connectors.values()]:
                self._begin(member)
        except (RuntimeError, ValueError, KeyError) as error:
            text = str(error).splitlines()[0]
            raise KdzooError(f"the checkpoint does not fit this recipe: {text}") from None
