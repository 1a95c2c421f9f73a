"""Instance relationship graphs: Liu, Cao, Li, Yuan, Hu, Li and Duan 2019."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field, NonNegativeFloat
from torch import Tensor

from kdzoo.api import Batch, KdzooError, Knowledge, Output, Taps, at_least_float32
from kdzoo_graph.functional import (
    irg_edge_loss,
    irg_edge_transformation_loss,
    irg_transformation_loss,
    irg_vertex_loss,
)

Stages = Annotated[tuple[int, ...], Field(min_length=2), AfterValidator(lambda stages: Taps(stages).student)]
"""Stages counted from the deepest, -1, ordered from shallow to deep; at least two."""


class IRG(Knowledge):
    """A graph of the samples, with distances as edges, and its change over stages match the teacher's.

    Args:
        vertex: weight of the squared difference of the logits.
        edge: weight of the squared difference of the edges between embeddings.
        transform: weight of the difference of the samples' moves from stage to stage.
        edge_transform: weight of the difference of the edges' changes from stage to stage.
        stages: the stages between which moves and changes are computed, counted from the deepest, -1.
    """

    name = "irg"
    kind = "relation"
    reads_logits = True

    def __init__(
        self,
        vertex: NonNegativeFloat = 0.1,
        edge: NonNegativeFloat = 5.0,
        transform: NonNegativeFloat = 5.0,
        edge_transform: NonNegativeFloat = 0.0,
        stages: Stages = (-3, -2, -1),
    ) -> None:
        super().__init__()
        self.vertex = vertex
        self.edge = edge
        self.transform = transform
        self.edge_transform = edge_transform
        self.taps = Taps(student=stages if transform or edge_transform else (), embedding=edge > 0)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """A scalar, since an edge involves two samples."""
        loss = at_least_float32(student.logits).new_zeros(())
        if self.vertex:
            if student.logits.shape != teacher.logits.shape:
                raise KdzooError(
                    f"knowledge 'irg' compares logits and needs the same number of classes on both sides, not "
                    f"{student.logits.shape[1]} and {teacher.logits.shape[1]}; take knowledge.vertex=0"
                )
            loss = loss + self.vertex * irg_vertex_loss(student.logits, teacher.logits, reduction="mean")
        if self.edge:
            loss = loss + self.edge * irg_edge_loss(student.embedded, teacher.embedded)
        pairs = zip(pairwise(_pooled(student)), pairwise(_pooled(teacher)), strict=True)
        for ours, theirs in pairs:
            if self.transform:
                loss = loss + self.transform * irg_transformation_loss(ours, theirs, reduction="mean")
            if self.edge_transform:
                loss = loss + self.edge_transform * irg_edge_transformation_loss(ours, theirs)
        return loss


def _pooled(output: Output) -> list[Tensor]:
    """Each stage as (B, C), averaged over positions in float32, as in the authors' code."""
    return [at_least_float32(feature).mean(dim=(2, 3)) for feature in output.features]
