"""Peers with their own targets, and a leader that learns from all: Chen, Mei, Wang, Feng and Chen 2020."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, PositiveInt

from kdzoo.api import Backbone, Batch, KdzooError, Lesson, Output, Ramp, Run, evaluating, seeded
from kdzoo_online.attention import Attention
from kdzoo_online.peers import Peers


class GroupLeader(Peers):
    """Each peer learns from its own mixture of all peers' predictions, and the student from their mean.

    The roles are ``student``, the leader, which is exported and is nobody's teacher; ``peer1``, ``peer2``,
    ...; the ``attention`` that mixes; and the derived ``target1``, ``target2``, ... and ``group``, which have
    only logits. The algorithm ``distill-both`` trains the attention; with others it keeps its initial
    weights.

    Args:
        peers: number of networks, including the student.
        temperature: temperature of the mixed softmaxes; in the paper, that of the knowledge.
        reduction: the length of the embeddings divided by that of their projections.
        ramp: fraction of training over which the weight of the lessons grows from 0 to 1; 0 is no ramp.
    """

    name = "group-leader"

    def __init__(
        self,
        peers: Annotated[int, Field(ge=3)] = 4,
        temperature: PositiveFloat = 3.0,
        reduction: PositiveInt = 8,
        ramp: Annotated[float, Field(ge=0, le=1)] = 80 / 300,
    ) -> None:
        super().__init__(peers)
        self.temperature = temperature
        self.reduction = reduction
        self.ramp = Ramp(until=ramp, shape="sigmoid")

    def enroll(self, run: Run) -> None:
        """Enroll the networks and the attention, and derive every target."""
        super().enroll(run)
        width = self._width(run)
        with seeded(run.recipe.seed):
            attention = Attention(width, max(1, width // self.reduction), self.temperature)
        for role in self.roles[1:]:
            run.tap(role, embedding=True)
        run.derive("answers", lambda batch: self._answers(run, batch))
        run.enroll("attention", attention, student=False, reads="answers")
        for number in range(len(self.roles) - 1):
            run.derive(f"target{number + 1}", partial(_target, run, number))
        run.derive("group", lambda batch: Output(run.see("attention", batch).logits))

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """Each peer learns from its target, and the student from the group."""
        peers = [(role, f"target{number}") for number, role in enumerate(self.roles[1:], start=1)]
        return [*peers, ("student", "group")]

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """One lesson for each arrow, with the ramp's weight."""
        weight = self.ramp(batch.progress)
        return [Lesson(student, teacher, weight) for student, teacher in self.arrows(run)]

    def _answers(self, run: Run, batch: Batch) -> Output:
        """The attention's input: the embeddings of all peers, then their logits."""
        seen = [run.see(role, batch) for role in self.roles[1:]]
        embeddings, logits = [one.embedded for one in seen], [one.logits for one in seen]
        return Output(logits[0], (*embeddings, *logits))

    def _width(self, run: Run) -> int:
        widths: dict[str, int] = {}
        for role in self.roles[1:]:
            network = run.roles[role]
            assert isinstance(network, Backbone)
            image = torch.zeros((1, network.channels, *network.input_size), device=run.device)
            with evaluating(network), torch.no_grad():
                answer: Output = network(image, embedding=True)
            widths[role] = answer.embedded.shape[1]
        if len(set(widths.values())) > 1:
            raise KdzooError(
                "scheme 'group-leader' compares the peers' embeddings, which have the lengths "
                + ", ".join(f"{width} ({role})" for role, width in widths.items())
                + ": take peers of one architecture, or --method kdcl for unlike networks"
            )
        return next(iter(widths.values()))


def _target(run: Run, number: int, batch: Batch) -> Output:
    return Output(run.see("attention", batch).features[number])
