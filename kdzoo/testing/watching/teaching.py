"""Whom the lessons reach: students without a graph, and teachers that the distillation loss moves."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kdzoo.api.batch import Batch, Output
from kdzoo.api.run import Run
from kdzoo.engine.listeners import Listener, Moment
from kdzoo.testing.rehearsal import tensors_of
from kdzoo.testing.watch import running


class Teaching(Listener):
    """Compares the arrows of the scheme with the graphs of its roles.

    Attributes:
        moved: teacher -> how it learns from its own lesson.
    """

    def __init__(self) -> None:
        self.moved: dict[str, str] = {}
        self._in_step = False
        self._graphs: dict[str, bool] = {}
        self._arrows: set[tuple[str, str]] = set()
        self._looked = False
        self._learning: frozenset[str] = frozenset()

    @property
    def unreached(self) -> Mapping[str, str]:
        """Student of a lesson -> its teacher, where no output of that student in any step had a graph."""
        return {student: teacher for student, teacher in self._arrows if not self._graphs.get(student, True)}

    def run_began(self, run: Run) -> None:
        """Note which roles the scheme has enrolled to learn; an algorithm may train a teacher on purpose."""
        self._learning = frozenset(name for name, one in running(run).members.items() if one.learns)

    def step_began(self, run: Run, batch: Batch, moment: Moment) -> None:
        """Outputs count from here on."""
        self._in_step = True

    def seen(self, run: Run, role: str, batch: Batch, output: Output) -> None:
        """Note whether a gradient can reach the role."""
        if self._in_step and torch.is_grad_enabled():
            graph = any(one.requires_grad for one in tensors_of(output))
            self._graphs[role] = self._graphs.get(role, False) or graph

    def taught(self, run: Run, batch: Batch, loss: Tensor) -> None:
        """Look at the roles that only teach, once."""
        engine = running(run)
        self._arrows |= engine.connectors.keys()
        if self._looked or not loss.requires_grad:
            return
        self._looked = True
        students = {student for student, _ in self._arrows}
        for name in sorted({teacher for _, teacher in self._arrows} - students):
            member = engine.members.get(name)
            if member is None or not member.learns or not member.parameters:
                continue
            if engine.scheme.kind == "offline" and name in self._learning:
                self.moved[name] = "it is enrolled to learn, although the scheme is offline"
            elif engine.scheme.kind != "self":  # whose students may be branches of their teacher
                gradients = torch.autograd.grad(loss, member.parameters, retain_graph=True, allow_unused=True)
                if any(one is not None for one in gradients):
                    self.moved[name] = (
                        "it only teaches, and the distillation loss has a gradient for its parameters"
                    )

    def step_ended(self, run: Run, batch: Batch, figures: Mapping[str, Tensor], moment: Moment) -> None:
        """Outputs no longer count."""
        self._in_step = False
