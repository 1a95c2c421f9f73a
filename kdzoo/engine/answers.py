"""The outputs of roles: each is computed once per step, with a graph only where a gradient can flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from kdzoo.api.batch import Batch, Output
from kdzoo.api.modes import evaluating
from kdzoo.engine import stopwatch
from kdzoo.engine.listeners import Listener, Listeners
from kdzoo.engine.role import Role
from kdzoo.engine.roster import Roster
from kdzoo.engine.store import Replays
from kdzoo.errors import KdzooError


@dataclass(frozen=True)
class _Known:
    """An output of this step, with the roles that it depends on."""

    batch: Batch  # held, so that its id cannot be given to another batch
    output: Output
    origins: frozenset[str]


class Answers:
    """Computes the outputs of a roster's roles, each network in the precision of ``autocast``, and stores them."""

    def __init__(
        self,
        roster: Roster,
        autocast: Callable[[], AbstractContextManager[None]],
        listeners: Listeners,
        store: Replays | None = None,
    ) -> None:
        self._roster = roster
        self._autocast = autocast
        self._listeners = listeners
        self._store = store
        self._known: dict[tuple[str, int, bool], _Known] = {}
        self._origins: list[set[str]] = []
        self._measured: Batch | bool | None = None

    def see(self, role: str, batch: Batch) -> Output:
        """See :meth:`kdzoo.api.Run.see`."""
        member = self._roster.members.get(role)
        graph = torch.is_grad_enabled() and (
            member is None
            or member.learns
            or member.reads is not None
            or any(one.requires_grad for one in batch.inputs.values())
        )
        if self._measured is not None and self._measured is not batch and not self._origins:
            self.clear()  # for a whole split, outputs are not stored
            self._measured = batch
        known = self._known.get((role, id(batch), graph))
        if known is None:
            self._origins.append({role})
            try:
                self._listeners.tell(Listener.asked, role, batch)
                output = self._compute(role, member, batch, graph)
                self._listeners.tell(Listener.seen, role, batch, output)
            finally:
                origins = self._origins.pop()
            known = self._known[role, id(batch), graph] = _Known(batch, output, frozenset(origins))
        if self._origins:
            self._origins[-1] |= known.origins
        return known.output

    def unremembered(self, role: str, batch: Batch) -> Output:
        """The output of ``role`` without taps, not stored; for evaluation."""
        member = self._roster.members[role]
        if member.reads is not None:
            return self.see(role, batch)
        with self._autocast():
            output: Output = member.module(batch.inputs[member.modality])
        return output

    def forget(self, roles: Iterable[str]) -> None:
        """Drop every output that depends on one of ``roles``."""
        changed = frozenset(roles)
        self._known = {key: known for key, known in self._known.items() if not known.origins & changed}

    def clear(self) -> None:
        """Drop every output."""
        self._known.clear()

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Every member in eval mode and no graph; modes are put back."""
        self.clear()
        self._measured = True
        for member in self._roster.members.values():
            member.module.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.clear()
            self._measured = None
            for member in self._roster.members.values():
                member.set_mode()

    @contextmanager
    def evaluating(self, *roles: str) -> Iterator[None]:
        """See :meth:`kdzoo.api.Run.evaluating`."""
        self.forget(roles)
        try:
            with evaluating(*(self._roster.members[role].module for role in roles)):
                yield
        finally:
            self.forget(roles)

    def _compute(self, role: str, member: Role | None, batch: Batch, graph: bool) -> Output:
        roster = self._roster
        if member is None:
            if role not in roster.derived:
                known = ", ".join([*roster.members, *roster.derived]) or "none"
                raise KdzooError(f"no role {role!r} is enrolled; enrolled: {known}")
            return roster.derived[role](batch)
        inputs: tuple[Any, ...]
        if member.reads is not None:
            read = self.see(member.reads, batch)
            source = roster.members.get(member.reads)
            if source is not None and source.reads is None:
                read = source.show(read, member.read_stages, source.embedding, source.probes)
            inputs = (read,)
        elif member.modality in batch.inputs:
            probes = (member.probes,) if member.probes else ()
            inputs = (batch.inputs[member.modality], member.stages, member.embedding, *probes)
        else:
            raise KdzooError(
                f"role {role!r} reads the modality {member.modality!r}; the data has {', '.join(batch.inputs)}"
            )
        store = self._store if not graph and self._measured is None else None
        if store is not None and (kept := store.recall(member, batch)) is not None:
            return kept
        stop = stopwatch.start(roster.device) if store is not None else None
        with torch.set_grad_enabled(graph), self._autocast():
            answer: Output = member.module(*inputs)
        if store is not None and stop is not None:
            store.keep(member, batch, answer, stop())
        return answer if answer.has_logits else replace(answer, logits=None, role=role)
