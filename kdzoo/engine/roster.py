"""Who plays which role: networks that are enrolled, roles that are computed from others, and connectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import nn

from kdzoo.api.batch import Batch, Output
from kdzoo.api.probe import Probe
from kdzoo.engine.average import begin_equal
from kdzoo.engine.role import Role
from kdzoo.errors import KdzooError
from kdzoo.recipe.model import OptimConfig

CONNECTORS = "knowledge"
"""The role under which every connector is updated."""

Arrow = tuple[str, str]
"""A student and the teacher that it learns from."""


_IMAGES = 4
"""Dimensions of a batch of images, (B, C, H, W)."""


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


class Roster:
    """The roles of a run.

    Args:
        networks: where their networks come from.
        fabric: device and processes.
        optim: optimizer settings of a role that brings none.

    Attributes:
        members: enrolled roles by name.
        derived: what computes each of the other roles.
        connectors: for each arrow of the scheme, the knowledge that it is taught.

    """

    def __init__(self, networks: NetworkSource, fabric: Fabric, optim: OptimConfig) -> None:
        self._networks = networks
        self.fabric = fabric
        self._optim = optim
        self.members: dict[str, Role] = {}
        self.derived: dict[str, Callable[[Batch], Output]] = {}
        self.connectors: dict[Arrow, Role] = {}

    @property
    def device(self) -> torch.device:
        """Where every module is."""
        return self.fabric.device

    @property
    def students(self) -> tuple[str, ...]:
        """The roles that learn as networks on the task."""
        return tuple(name for name, member in self.members.items() if member.student)

    @property
    def everyone(self) -> Iterator[Role]:
        """Members and connectors."""
        yield from self.members.values()
        yield from self.connectors.values()

    def can_see(self, role: str, batch: Batch) -> bool:
        """Whether somebody plays the role and the batch has what it reads: images, no mere draws."""
        images = [one for one in batch.inputs.values() if one.ndim == _IMAGES]
        member = self.members.get(role)
        if member is None:
            return role in self.derived and bool(images)
        if member.reads is not None:
            return bool(images)
        return member.modality in batch.inputs and batch.inputs[member.modality].ndim == _IMAGES

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
    ) -> Role:
        """See :meth:`kdzoo.api.Run.enroll`."""
        if role == CONNECTORS:
            raise KdzooError(f"the role {CONNECTORS!r} is that of the connectors; choose another name")
        from_file = self._networks.from_file(module) and not learns and train_mode is None
        if learns:
            self._networks.trained_now(module)
        before = self.members.get(role)
        self.members[role] = Role(
            role,
            self.placed(module),
            (optim or self._optim) if learns else None,
            student=(learns and self._networks.is_backbone(module)) if student is None else student,
            modality=modality or self._networks.modality(module),
            train_mode=train_mode,
            stored=not from_file,
            stages=before.stages if before else (),
            embedding=before.embedding if before else False,
            probes=before.probes if before else (),
            reads=reads,
            read_stages=tuple(sorted(stages)),
        )
        self.derived.pop(role, None)
        return self.members[role]

    def derive(self, role: str, compute: Callable[[Batch], Output]) -> None:
        """See :meth:`kdzoo.api.Run.derive`."""
        self.members.pop(role, None)
        self.derived[role] = compute

    def connect(self, arrow: Arrow, name: str, knowledge: nn.Module) -> Role:
        """Keep the knowledge of an arrow; its connectors learn with the run's optimizer settings."""
        self.connectors[arrow] = Role(name, self.placed(knowledge), self._optim)
        return self.connectors[arrow]

    def tap(self, role: str, *stages: int, embedding: bool = False, probes: tuple[Probe, ...] = ()) -> bool:
        """Let ``role`` expose these too; whether that is more than it did.

        A derived role, or one that reads another's answer, exposes what its computation returns.
        """
        member = self.members.get(role)
        if member is None or member.reads is not None:
            return False
        before = member.stages, member.embedding, member.probes
        member.stages = tuple(sorted({*member.stages, *stages}))
        member.embedding |= embedding
        member.probes = tuple(dict.fromkeys([*member.probes, *probes]))
        return before != (member.stages, member.embedding, member.probes)

    def learners(self, roles: tuple[str, ...]) -> list[Role]:
        """The members that these names mean, each once; ``"knowledge"`` means every connector.

        Raises:
            KdzooError: a role is frozen or nobody's.

        """
        found: list[Role] = []
        for role in dict.fromkeys(roles):
            if role == CONNECTORS:
                found.extend(self.connectors.values())
            elif role in self.members and self.members[role].learns:
                found.append(self.members[role])
            else:
                why = "is frozen" if role in self.members else "is not enrolled"
                raise KdzooError(f"update: role {role!r} {why}; roles that learn: {', '.join(self.students)}")
        return found

    def placed(self, module: nn.Module) -> nn.Module:
        """The module on the device, with the same weights in every process."""
        module.to(self.device)
        begin_equal(self.fabric, module)
        return module
