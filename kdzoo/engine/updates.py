"""The updates: optimizers and schedules of the current phase, and the update for one loss or for several in a row."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from kdzoo.engine.average import average_gradients
from kdzoo.engine.role import Role
from kdzoo.engine.roster import Roster
from kdzoo.errors import KdzooError


class Updates:
    """Trains the roles of a roster. A resumed role takes its weights and its optimizer's state from ``saved``.

    Args:
        roster: the roles.
        fabric: device and processes.
        saved: by name, what a checkpoint has of roles that are not there yet.
        accumulate: steps in a group; their gradients are averaged for one update at the group's end. The last group
            of an epoch has those that are left.

    Attributes:
        finite: whether every loss so far was finite; a tensor, so that the host does not wait for a GPU.
    """

    def __init__(self, roster: Roster, fabric: Fabric, saved: dict[str, Any], accumulate: int = 1) -> None:
        self._roster = roster
        self._fabric = fabric
        self._saved = saved
        self._accumulate = accumulate
        self._phase: tuple[int, int] | None = None
        self._updates = 0  # in an epoch
        self._update = 0
        self._place, self._size = 0, 1  # of the step in its group
        self._updated = False  # whether this step has called apply
        self._pending: dict[Role, None] = {}
        self.finite = torch.ones((), dtype=torch.bool, device=fabric.device)

    def apply(self, loss: Tensor, *roles: str) -> list[str]:
        """See :meth:`kdzoo.api.Run.update`; the names of those that may have changed.

        Raises:
            KdzooError: a second update in a step whose gradients are accumulated.
        """
        if self._accumulate > 1 and self._updated:
            raise KdzooError(
                "optim.grad_accum_steps: this algorithm makes several updates in a step, each after the other, which "
                "cannot be put off; leave it at 1"
            )
        self._updated = True
        members = self._roster.learners(roles)
        parameters = [parameter for member in members for parameter in member.parameters]
        self.finite &= torch.isfinite(loss.detach()).all()
        if loss.requires_grad and parameters:
            for member in members:
                if member not in self._pending:  # these have gradients of this group's steps
                    for parameter in member.parameters:
                        parameter.grad = None  # of a backward pass that is not this update's
            torch.autograd.backward(loss if self._size == 1 else loss / self._size, inputs=parameters)
            self._pending |= dict.fromkeys(members)
        self._step_pending()
        return [*roles, *(member.name for member in members)]

    @property
    def complete(self) -> bool:
        """Whether the step is the last one of its group, at whose end the weights change."""
        return self._place == self._size - 1

    def end_step(self) -> None:
        """Make the group's update if the step is its last one and did not call :meth:`apply`."""
        self._updated = False
        self._step_pending()

    def _step_pending(self) -> None:
        if not self.complete or not self._pending:
            return
        if self._fabric.world_size > 1:
            average_gradients(self._fabric, [one for member in self._pending for one in member.parameters])
        for member in self._pending:
            if member.optimizer is not None:
                member.step()
        self._pending.clear()

    def begin_phase(self, epochs: int, steps: int) -> None:
        """Give every role a fresh optimizer and schedule for ``epochs`` x ``steps`` steps."""
        self._phase = (epochs, steps)
        self._updates = -(-steps // self._accumulate)
        self._pending.clear()
        self._go_to(0)
        for member in self._roster.everyone:
            self.begin(member)

    def end_phase(self) -> None:
        """Let the students go on with the averages of their weights."""
        for member in self._roster.everyone:
            member.end_phase()

    def begin_step(self, step: int) -> float:
        """Set every learning rate for the ``step``-th step of the phase; how far the phase has come, in [0, 1)."""
        assert self._phase is not None
        self._go_to(step)
        for member in self._roster.everyone:
            member.at_step(self._update)
        return self._update / max(self._phase[0] * self._updates, 1)

    def _go_to(self, step: int) -> None:
        assert self._phase is not None
        steps = max(self._phase[1], 1)
        epoch, within = divmod(step, steps)
        group, self._place = divmod(within, self._accumulate)
        self._size = min(self._accumulate, steps - group * self._accumulate)
        self._update = epoch * self._updates + group

    def begin(self, member: Role) -> None:
        """Make a role trainable from this step of the phase, with its state from a checkpoint if there is one."""
        if self._phase is None:
            return  # it begins with the first phase
        member.set_mode()
        member.start_phase(self._phase[0], self._updates)
        state = self._saved.pop(member.name, None)
        if state is not None:
            member.load_state_dict(state)
        member.at_step(self._update)

    def state_dict(self) -> dict[str, Any]:
        """The state of every role whose weights are not those of a file; to be taken between groups."""
        return {member.name: member.state_dict() for member in self._roster.everyone if member.stored}

    def restore(self, step: int) -> None:
        """Restore every existing role from the checkpoint; the phase is at ``step``.

        Raises:
            KdzooError: the checkpoint's roles or shapes are not those of this recipe.
        """
        self._go_to(step)
        try:
            for member in self._roster.everyone:
                self.begin(member)
        except (RuntimeError, ValueError, KeyError) as error:
            text = str(error).splitlines()[0]
            raise KdzooError(f"the checkpoint does not fit this recipe: {text}") from None
