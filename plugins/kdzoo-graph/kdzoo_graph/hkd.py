"""Holistic knowledge by graph networks: Zhou, Wang, Chen, Chen, Wang, Wang and Bu 2021."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from kdzoo.api import (
    UNLABELLED,
    Batch,
    KdzooError,
    Knowledge,
    Output,
    Run,
    Taps,
    at_least_float32,
    softened_kl,
    without_autocast,
)
from kdzoo_graph.functional import aggregate, info_nce, neighbour_graph


class HKD(Knowledge):
    """Contrastive distillation of embeddings, before and after a graph convolution over each sample's neighbours.

    Each network's logits determine the neighbours; a small graph network aggregates the embeddings of the
    neighbourhood; a contrastive loss matches both networks' results against the other samples of the batch.

    Args:
        width: width of the space in which embeddings are compared.
        neighbours: number of neighbours of each sample in the graph, including itself.
        temperature: temperature of the contrastive losses.
        holistic: weight of the contrastive loss after the graph network.
        individual: weight of the contrastive loss before it.
        soft: weight of KL(teacher || student) on the logits, times soft_temperature².
        soft_temperature: temperature of that divergence.
        negatives: ``all`` other samples of the batch, or those of other ``classes`` where labels are known.
    """

    name = "hkd"
    kind = "relation"
    reads_logits = True
    taps = Taps(embedding=True)

    def __init__(
        self,
        width: PositiveInt = 128,
        neighbours: PositiveInt = 8,
        temperature: PositiveFloat = 0.07,
        holistic: NonNegativeFloat = 1.0,
        individual: NonNegativeFloat = 1.0,
        soft: NonNegativeFloat = 0.0,
        soft_temperature: PositiveFloat = 4.0,
        negatives: Literal["all", "classes"] = "all",
    ) -> None:
        super().__init__()
        self.width = width
        self.neighbours = neighbours
        self.temperature = temperature
        self.holistic = holistic
        self.individual = individual
        self.soft = soft
        self.soft_temperature = soft_temperature
        self.negatives = negatives

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """A linear embedding and a graph convolution for each network."""
        if self.soft and student.logits.shape != teacher.logits.shape:
            raise KdzooError(
                "knowledge.soft (hkd) compares logits and needs the same number of classes on both sides, not "
                f"{student.logits.shape[1]} and {teacher.logits.shape[1]}; take knowledge.soft=0"
            )
        if self.holistic or self.individual:
            self.student = Vertices(student, self.width, gathers=self.holistic > 0)
            self.teacher = Vertices(teacher, self.width, gathers=self.holistic > 0)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; each depends on the other samples of the batch."""
        loss = at_least_float32(student.logits).new_zeros(len(student.logits))
        if self.soft:
            loss = loss + self.soft * softened_kl(student.logits, teacher.logits, self.soft_temperature)
        if not (self.holistic or self.individual):
            return loss
        left_out = _same_class(batch) if self.negatives == "classes" else None
        with without_autocast(student.logits):
            ours, theirs = self.student.embed(student), self.teacher.embed(teacher)
            if self.individual:
                contrast = info_nce(ours, theirs, self.temperature, left_out=left_out)
                loss = loss + self.individual * contrast
            if self.holistic:
                ours = self.student.gather(ours, neighbour_graph(student.logits, self.neighbours))
                theirs = self.teacher.gather(theirs, neighbour_graph(teacher.logits, self.neighbours))
                loss = loss + self.holistic * info_nce(ours, theirs, self.temperature, left_out=left_out)
        return loss


class Vertices(nn.Module):
    """One network's vertices: embeddings in the common space, and their graph convolution.

    Args:
        output: an example of the network's output.
        width: width of the common space.
        gathers: whether there is a graph convolution.
    """

    def __init__(self, output: Output, width: int, gathers: bool) -> None:
        super().__init__()
        given = output.embedded
        device, dtype = given.device, at_least_float32(given.dtype)
        self.linear = nn.Linear(given.shape[1], width, device=device, dtype=dtype)
        self.convolution = nn.Linear(2 * width, width, device=device, dtype=dtype) if gathers else None

    def embed(self, output: Output) -> Tensor:
        """(B, width), of length 1."""
        return nn.functional.normalize(self.linear(output.embedded.to(self.linear.weight.dtype)), dim=1)

    def gather(self, vertices: Tensor, graph: Tensor) -> Tensor:
        """(B, width): the graph convolution of each vertex and the mean of its neighbours."""
        assert self.convolution is not None, "built when the loss after the graph has a weight"
        mixed: Tensor = self.convolution(aggregate(vertices, graph))
        return mixed


def _same_class(batch: Batch) -> Tensor | None:
    """(B, B) bool: both labels are known and the same; None where the batch has no labels."""
    if batch.target is None:
        return None
    if batch.target.is_floating_point():
        raise KdzooError(
            "knowledge.negatives 'classes' (hkd) reads class ids, and mixup or cutmix blends labels: set "
            "data.augment.mixup and data.augment.cutmix to 0, or take knowledge.negatives=all"
        )
    return (batch.target[:, None] == batch.target) & (batch.target != UNLABELLED)
