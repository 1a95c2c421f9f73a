"""Which parameters the updates have moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from kdzoo.api.batch import Batch
from kdzoo.api.run import Run
from kdzoo.engine.listeners import Listener, Moment
from kdzoo.engine.run import TrainingRun
from kdzoo.testing.watch import running


class Movement(Listener):
    """Keeps the first values of every learning role, and of parameters in a loss that belong to no role."""

    def __init__(self) -> None:
        self._first: list[tuple[object, list[Tensor]]] = []  # the members themselves: an id may be used again
        self._strangers: dict[int, tuple[nn.Parameter, Tensor]] = {}
        self._looked: set[tuple[str, ...]] = set()

    def step_began(self, run: Run, batch: Batch, moment: Moment) -> None:
        """Keep the values of roles that are new."""
        for member in running(run).roster.everyone:
            if member.learns and self._first_of(member) is None:
                self._first.append((member, _copies(member.parameters)))

    def updated(self, run: Run, loss: Tensor, roles: Sequence[str]) -> None:
        """Look for strangers in the first loss of these roles."""
        if tuple(roles) in self._looked:
            return
        self._looked.add(tuple(roles))
        known = {id(one) for member in running(run).roster.everyone for one in member.module.parameters()}
        for one in _parameters(loss):
            if id(one) not in known:
                self._strangers.setdefault(id(one), (one, one.detach().clone()))

    def idle(self, run: TrainingRun) -> Iterator[str]:
        """The roles that learn and have the values of their first step."""
        for member in run.roster.everyone:
            first = self._first_of(member)
            if first and all(map(torch.equal, first, _copies(member.parameters))):
                yield member.name

    def _first_of(self, member: object) -> list[Tensor] | None:
        return next((first for one, first in self._first if one is member), None)

    def strangers(self, run: TrainingRun) -> Iterator[Tensor]:
        """The parameters of no role that are in a loss and were not moved."""
        known = {id(one) for member in run.roster.everyone for one in member.module.parameters()}
        for one, first in self._strangers.values():
            if id(one) not in known and torch.equal(one.detach(), first):
                yield one


def _copies(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    return [one.detach().clone() for one in parameters]


def _parameters(loss: Tensor) -> Iterator[nn.Parameter]:
    """The parameters in the graph of a loss."""
    nodes, seen = [loss.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if isinstance(variable, nn.Parameter):
            yield variable
        nodes += [one for one, _ in node.next_functions]
