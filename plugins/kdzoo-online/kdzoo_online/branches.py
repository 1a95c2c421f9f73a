"""Branches on a shared trunk that learn from their gated ensemble: Lan, Zhu and Gong 2018."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field

from kdzoo.api import Backbone, Batch, DeclaredRole, KdzooError, Lesson, Output, Ramp, Run, Scheme, seeded
from kdzoo_online.branch import Branch
from kdzoo_online.gate import Gate


class Branches(Scheme):
    """The student's deeper stages, replicated on one trunk, learn from their gated ensemble.

    The roles are ``student`` (trunk and first branch), which is exported, ``branch1``, ``branch2``, ..., and
    ``ensemble``, the gate's output, which learns from the labels like all others and is the teacher of all
    others. Branches and ensemble have only logits.

    Args:
        branches: number of branches, including the student's own.
        stage: the last stage of the trunk; -1 would leave only the classifier and is refused.
        ramp: fraction of training over which the weight of the lessons grows from 0 to 1; 0 is no ramp.
    """

    name = "branches"
    kind = "online"

    def __init__(
        self,
        branches: Annotated[int, Field(ge=2)] = 3,
        stage: Annotated[int, Field(le=-2)] = -2,
        ramp: Annotated[float, Field(ge=0, le=1)] = 80 / 300,
    ) -> None:
        self.roles = ("student", *(f"branch{number}" for number in range(1, branches)))
        self.stage = stage
        self.ramp = Ramp(until=ramp, shape="sigmoid")

    def declared_roles(self) -> Iterable[DeclaredRole]:
        """Every branch but the student's, like the student, whose architecture it must have."""
        meaning = "a branch on the student's trunk; its model must be the student's"
        return [DeclaredRole(role, meaning, like="student") for role in self.roles[1:]]

    def enroll(self, run: Run) -> None:
        """Enroll the student, the branches on its trunk, and their ensemble."""
        student = run.build("student")
        assert isinstance(student, Backbone)
        networks = {role: run.build(role, like="student") for role in self.roles[1:]}
        branches = {role: self._branch(student, role, network) for role, network in networks.items()}
        run.enroll("student", student)
        for role, branch in branches.items():
            run.enroll(role, branch, student=True, reads="student", stages=(self.stage,))
        run.enroll("trunk", _Trunk(), student=False, learns=False, reads="student", stages=(self.stage,))
        run.derive("answers", lambda batch: self._answers(run, batch))
        # The gate's initial weights depend on its role's seed, and change no other random numbers.
        channels = student.model.feature_info[self.stage]["num_chs"]
        with seeded(run.recipe.seed):
            gate = Gate(channels, len(self.roles))
        run.enroll("ensemble", gate, student=True, reads="answers")

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """From the ensemble to every branch."""
        return [(role, "ensemble") for role in self.roles]

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """One lesson for each branch, with the ramp's weight."""
        weight = self.ramp(batch.progress)
        return [Lesson(role, "ensemble", weight) for role in self.roles]

    def _branch(self, student: Backbone, role: str, network: object) -> Branch:
        assert isinstance(network, Backbone)
        if network.name != student.name:
            raise KdzooError(
                f"role {role!r} is {network.name!r} and the student {student.name!r}: branches continue from the "
                "student's own map and need its architecture; leave the role out of the recipe, or take --method "
                "kdcl for unlike networks"
            )
        return Branch(network, self.stage)

    def _answers(self, run: Run, batch: Batch) -> Output:
        """The gate's input: the trunk's map, and the logits of every branch."""
        trunk = run.see("trunk", batch)
        logits = [run.see(role, batch).logits for role in self.roles]
        return Output(logits[0], (*trunk.features, *logits))


class _Trunk(torch.nn.Module):
    """Returns its input: the student's map at the trunk's last stage."""

    def forward(self, read: Output) -> Output:
        return read
