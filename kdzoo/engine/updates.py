"""The updates: optimizers and schedules of the current phase, and the update for one loss."""

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

    Attributes:
        finite: whether every loss so far was finite; a tensor, so that the host does not wait for a GPU.
    """

    def __init__(self, roster: Roster, fabric: Fabric, saved: dict[str, Any]) -> None:
        self._roster = roster
        self._fabric = fabric
        self._saved = saved
        self._phase: tuple[int, int] | None = None
        self._step = 0
        self.finite = torch.ones((), dtype=torch.bool, device=fabric.device)

    def apply(self, loss: Tensor, *roles: str) -> list[str]:
        """See :meth:`kdzoo.api.Run.update`; the names of those that may have changed."""
        members = self._roster.learners(roles)
        parameters = [parameter for member in members for parameter in member.parameters]
        self.finite &= torch.isfinite(loss.detach()).all()
        if loss.requires_grad and parameters:
            for parameter in parameters:
                parameter.grad = None  # of a backward pass that is not this update's
            torch.autograd.backward(loss, inputs=parameters)
            if self._fabric.world_size > 1:
                average_gradients(self._fabric, parameters)
            for member in members:
                if member.optimizer is not None:
                    member.step()
        return [*roles, *(member.name for member in members)]

    def begin_phase(self, epochs: int, steps: int) -> None:
        """Give every role a fresh optimizer and schedule for ``epochs`` x ``steps`` steps."""
        self._phase, self._step = (epochs, steps), 0
        for member in self._roster.everyone:
            self.begin(member)

    def begin_step(self, step: int) -> float:
        """Set every learning rate for the ``step``-th step of the phase; how far the phase has come, in [0, 1)."""
        assert self._phase is not None
        self._step = step
        for member in self._roster.everyone:
            member.at_step(step)
        return step / max(self._phase[0] * self._phase[1], 1)

    def begin(self, member: Role) -> None:
        """Make a role trainable from this step of the phase, with its state from a checkpoint if there is one."""
        if self._phase is None:
            return  # it begins with the first phase
        member.set_mode()
        member.start_phase(*self._phase)
        state = self._saved.pop(member.name, None)
        if state is not None:
            member.module.load_state_dict(state["module"])
            if member.optimizer is not None and state["optimizer"] is not None:
                member.optimizer.load_state_dict(state["optimizer"])
        member.at_step(self._step)

    def state_dict(self) -> dict[str, Any]:
        """Weights and optimizers of every role whose weights are not those of a file."""
        return {
            member.name: {
                "module": member.module.state_dict(),
                "optimizer": member.optimizer.state_dict() if member.optimizer else None,
            }
            for member in self._roster.everyone
            if member.stored
        }

    def restore(self, step: int) -> None:
        """Restore every existing role from the checkpoint; the phase is at ``step``.

        Raises:
            KdzooError: the checkpoint's roles or shapes are not those of this recipe.
        """
        self._step = step
        try:
            for member in self._roster.everyone:
                self.begin(member)
        except (RuntimeError, ValueError, KeyError) as error:
            text = str(error).splitlines()[0]
            raise KdzooError(f"the checkpoint does not fit this recipe: {text}") from None
