"""Similarity-preserving distillation: Tung and Mori 2019."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output, Taps
from kdzoo_relation.functional import sp_loss
from kdzoo_relation.stages import Stages, paired


class SP(Knowledge):
    """The samples of a batch have the same similarities in the student as in the teacher.

    Args:
        stages: the student's stages, counted from the deepest, -1, shallow to deep; an empty list compares
            the embeddings.
        teacher_stages: the teacher's stages, one for each of ``stages``; None means the same.
    """

    name = "sp"
    kind = "relation"

    def __init__(self, stages: Stages = (-1,), teacher_stages: Stages | None = None) -> None:
        super().__init__()
        self.taps = paired(self.name, stages, teacher_stages) if stages else Taps(embedding=True)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """A scalar, summed over the pairs of stages, since a relation involves several samples."""
        if self.taps.embedding:
            return sp_loss(student.embedded, teacher.embedded)
        pairs = zip(student.features, teacher.features, strict=True)
        return torch.stack([sp_loss(ours, theirs) for ours, theirs in pairs]).sum()
