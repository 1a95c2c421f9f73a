"""The networks of roles: enrolled networks, roles that are computed from others, and connectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric

from kdzoo.api.batch import Batch, Output
from kdzoo.api.probe import Probe
from kdzoo.engine.average import begin_equal
from kdzoo.engine.role import Role
from kdzoo.engine.sharded import is_sharded
from kdzoo.errors import KdzooError

CONNECTORS = "knowledge"
"""The role under which every connector is updated."""

Arrow = tuple[str, str]
"""A student and the teacher that it learns from."""

_IMAGES = 4
"""Dimensions of a batch of images, (B, C, H, W)."""


class Roster:
    """The roles of a run.

    Attributes:
        members: enrolled roles by name.
        derived: the function that computes each of the other roles.
        replaced: networks whose role is now derived.
        connectors: the knowledge of each arrow of the scheme.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.members: dict[str, Role] = {}
        self.derived: dict[str, Callable[[Batch], Output]] = {}
        self.replaced: dict[str, Role] = {}
        self.connectors: dict[Arrow, Role] = {}

    @property
    def device(self) -> torch.device:
        """The device of every module."""
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
        """Whether the role exists and the batch has its input: images, not latent vectors."""
        images = [one for one in batch.inputs.values() if one.ndim == _IMAGES]
        member = self.members.get(role)
        if member is None:
            return role in self.derived and bool(images)
        if member.reads is not None:
            return bool(images)
        return member.modality in batch.inputs and batch.inputs[member.modality].ndim == _IMAGES

    def enroll(self, member: Role) -> None:
        """Use ``member`` for its role; it gets the taps of the previous member.

        Raises:
            KdzooError: the role is that of the connectors.
        """
        if member.name == CONNECTORS:
            raise KdzooError(f"the role {CONNECTORS!r} is that of the connectors; choose another name")
        before = self.members.get(member.name)
        if before is not None:
            member.stages, member.embedding, member.probes = before.stages, before.embedding, before.probes
        self._place(member)
        self.members[member.name] = member
        self.derived.pop(member.name, None)
        self.replaced.pop(member.name, None)

    def derive(self, role: str, compute: Callable[[Batch], Output]) -> None:
        """See :meth:`kdzoo.api.Run.derive`."""
        if role in self.members:
            self.replaced[role] = self.members.pop(role)
        self.derived[role] = compute

    @contextmanager
    def as_enrolled(self, role: str) -> Iterator[None]:
        """A derived role as the network that it has replaced, inside the block."""
        compute, self.members[role] = self.derived.pop(role), self.replaced[role]
        try:
            yield
        finally:
            self.derived[role] = compute
            del self.members[role]

    def connect(self, arrow: Arrow, knowledge: Role) -> None:
        """Store the knowledge of an arrow."""
        self._place(knowledge)
        self.connectors[arrow] = knowledge

    def tap(self, role: str, *stages: int, embedding: bool = False, probes: tuple[Probe, ...] = ()) -> bool:
        """Add these taps to ``role``; whether any of them is new.

        A derived role, or one that reads another's output, outputs what its computation returns.
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
            KdzooError: a role is frozen or unknown.
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

    def _place(self, member: Role) -> None:
        """Put the module on the device, with the same weights in every process."""
        member.module.to(self.device)
        if not is_sharded(member.module):
            begin_equal(self.fabric, member.module)
