"""Attention-based feature distillation: Ji, Heo and Park 2021."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from kdzoo.api import Batch, Knowledge, Output, Run, Taps, at_least_float32
from kdzoo_attention.functional import link_weights, linked_attention_loss
from kdzoo_attention.stages import Stages, require_places


class AFD(Knowledge):
    """Attention maps of all pairs of stages are compared, each weighted by a learned link between the two stages.

    Args:
        dimension: dimension of the queries and keys from which a link is computed.
        form: ``paper`` takes the norm of the maps' difference, ``code`` the squared norm.
        stages: the student's stages, counted from the deepest, -1, shallow to deep.
        teacher_stages: the teacher's stages, of any number; None means the same numbers.
    """

    name = "afd"
    kind = "feature"

    def __init__(
        self,
        dimension: PositiveInt = 128,
        form: Literal["paper", "code"] = "paper",
        stages: Stages = (-4, -3, -2),
        teacher_stages: Stages | None = None,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.form: Literal["paper", "code"] = form
        self.taps = Taps(student=stages, teacher=teacher_stages)

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """A key for each of the student's stages; a query and a bilinear form for each of the teacher's."""
        require_places(self.name, teacher.features)
        self.keys = nn.ModuleList(Summary(one, self.dimension) for one in student.features)
        self.queries = nn.ModuleList(Summary(one, self.dimension) for one in teacher.features)
        device = student.features[0].device

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(nn.init.xavier_normal_(torch.empty(*shape, device=device)))

        self.bilinear = nn.Parameter(
            torch.stack([drawn(self.dimension, self.dimension).detach() for _ in teacher.features])
        )
        self.student_position = drawn(len(student.features), self.dimension)
        self.teacher_position = drawn(len(teacher.features), self.dimension)

    def links(self, student: Output, teacher: Output) -> Tensor:
        """(B, T, S): the weight of the link from each of the teacher's stages to each of the student's."""
        queries = [summary(one) for summary, one in zip(self.queries, teacher.features, strict=True)]
        keys = [summary(one) for summary, one in zip(self.keys, student.features, strict=True)]
        positions = self.teacher_position @ self.student_position.T
        return link_weights(torch.stack(queries, dim=1), torch.stack(keys, dim=1), self.bilinear, positions)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, summed over the teacher's stages."""
        links = self.links(student, teacher)
        return linked_attention_loss(
            student.features, teacher.features, links, form=self.form, reduction="none"
        )


class Summary(nn.Linear):
    """One vector for a stage: the mean over positions, a linear map, a ReLU; in at least float32.

    Args:
        feature: an example of the stage's map.
        dimension: dimension of the vector.
    """

    def __init__(self, feature: Tensor, dimension: int) -> None:
        dtype = at_least_float32(feature.dtype)
        super().__init__(feature.shape[1], dimension, device=feature.device, dtype=dtype)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, H, W) to (B, dimension)."""
        return F.relu(super().forward(feature.to(self.weight.dtype).mean(dim=(2, 3))))
