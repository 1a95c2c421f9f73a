"""Cross-layer distillation with semantic calibration: Chen, Mei, Zhang, Wang, Wang, Feng and Chen 2021."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from kdzoo.api import Batch, Knowledge, Output, Run, Taps, at_least_float32, softened_kl
from kdzoo_attention.functional import cross_layer_loss, layer_attention, similarity_profiles
from kdzoo_attention.stages import Stages


class SemCKD(Knowledge):
    """Each layer of the student learns from all layers of the teacher, weighted by learned attention.

    Args:
        soft_weight: weight of KL(teacher || student) on the logits, relative to the layers' loss.
        temperature: temperature of that divergence, which is multiplied by temperature².
        points: number of values that describe a sample's similarities to its batch.
        form: ``code`` takes the mean over the student's layers, as in the authors' code, and fits the method's weight
            of 400; ``paper`` takes the sum.
        stages: the student's layers, counted from the deepest, -1, shallow to deep.
        teacher_stages: the teacher's layers, of any number; None means the same numbers.
    """

    name = "semckd"
    kind = "feature"
    reads_logits = True

    def __init__(
        self,
        soft_weight: NonNegativeFloat = 0.0025,
        temperature: PositiveFloat = 4.0,
        points: PositiveInt = 64,
        form: Literal["paper", "code"] = "code",
        stages: Stages = (-4, -3, -2),
        teacher_stages: Stages | None = None,
    ) -> None:
        super().__init__()
        self.soft_weight = soft_weight
        self.temperature = temperature
        self.points = points
        self.form: Literal["paper", "code"] = form
        self.taps = Taps(student=stages, teacher=teacher_stages)

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """A query for each layer of the student, a key for each of the teacher, a projection for each pair."""
        device = student.features[0].device
        self.queries = nn.ModuleList(Embedding(self.points).to(device) for _ in student.features)
        self.keys = nn.ModuleList(Embedding(self.points).to(device) for _ in teacher.features)
        self.projections = nn.ModuleList(
            nn.ModuleList(
                Projection(ours.shape[1], theirs.shape[1]).to(device) for theirs in teacher.features
            )
            for ours in student.features
        )

    def attention(self, student: Output, teacher: Output) -> Tensor:
        """(B, S, T): the weight of each layer of the teacher for each layer of the student."""
        queries, keys = (
            torch.stack(
                [
                    embed(similarity_profiles(one, self.points))
                    for embed, one in zip(embeddings, output.features, strict=True)
                ],
                dim=1,
            )
            for embeddings, output in ((self.queries, student), (self.keys, teacher))
        )
        return layer_attention(queries, keys)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses."""
        projected = [
            [project(shrunk(ours, theirs)) for project, theirs in zip(row, teacher.features, strict=True)]
            for row, ours in zip(self._rows(), student.features, strict=True)
        ]
        loss = cross_layer_loss(
            projected,
            teacher.features,
            self.attention(student, teacher),
            form=self.form,
            reduction="none",
        )
        if self.soft_weight:
            loss = loss + self.soft_weight * softened_kl(student.logits, teacher.logits, self.temperature)
        return loss

    def _rows(self) -> list[nn.ModuleList]:
        return [row for row in self.projections if isinstance(row, nn.ModuleList)]


def shrunk(student: Tensor, teacher: Tensor) -> Tensor:
    """The student's map in at least float32, average-pooled where the teacher's is smaller."""
    student = at_least_float32(student)
    size = min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3])
    return student if student.shape[2:] == size else F.adaptive_avg_pool2d(student, size)


class Embedding(nn.Module):
    """A perceptron from a similarity profile to a query or key of length 1.

    Args:
        points: length of the profile.
        dimension: dimension of the query or key.
    """

    def __init__(self, points: int, dimension: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(points, 2 * dimension), nn.ReLU(), nn.Linear(2 * dimension, dimension)
        )

    def forward(self, profile: Tensor) -> Tensor:
        """(B, points) to (B, dimension)."""
        return F.normalize(self.layers(profile), dim=1)


class Projection(nn.Sequential):
    """Three convolutions, 1x1, 3x3 and 1x1, from a layer of the student to one of the teacher.

    Args:
        ours: the student's channels.
        theirs: the teacher's channels.
    """

    def __init__(self, ours: int, theirs: int) -> None:
        between = 2 * theirs
        super().__init__(
            nn.Conv2d(ours, between, 1, bias=False),
            nn.BatchNorm2d(between),
            nn.ReLU(),
            nn.Conv2d(between, between, 3, padding=1, bias=False),
            nn.BatchNorm2d(between),
            nn.ReLU(),
            nn.Conv2d(between, theirs, 1),
        )
