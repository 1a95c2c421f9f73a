"""Supervision transfer: Gupta, Hoffman and Malik 2016."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from kdzoo.api import Batch, Knowledge, Output, Run, Taps, at_least_float32, pool_to_smaller
from kdzoo_cross_modal.functional import transfer_loss

Stages = Annotated[tuple[int, ...], AfterValidator(lambda stages: Taps(stages).student)]
"""Stages counted from the deepest, -1, ordered from shallow to deep."""


class Transfer(Knowledge):
    """The student's features of one modality match the teacher's features of the other.

    Where the widths differ, a learned linear map takes the student's to the teacher's.

    Args:
        stages: the stages whose maps are compared, counted from the deepest, -1; an empty list compares the
            embeddings.
    """

    name = "transfer"
    kind = "feature"

    def __init__(self, stages: Stages = ()) -> None:
        super().__init__()
        self.taps = Taps(stages, embedding=not stages)
        self.maps = nn.ModuleList()

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """One linear map for each pair of features whose widths differ."""
        for own, other in self._pairs(student, teacher):
            same = own.shape[1] == other.shape[1]
            self.maps.append(nn.Identity() if same else _Linear(own, other))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, summed over the stages."""
        losses = []
        for into, (own, other) in zip(self.maps, self._pairs(student, teacher), strict=True):
            if own.ndim == 4:
                own, other = pool_to_smaller(own, other)
            losses.append(transfer_loss(into(own), other, reduction="none"))
        return torch.stack(losses).sum(dim=0)

    def _pairs(self, student: Output, teacher: Output) -> list[tuple[Tensor, Tensor]]:
        if self.taps.embedding:
            return [(student.embedded, teacher.embedded)]
        return list(zip(student.features, teacher.features, strict=True))


class _Linear(nn.Linear):
    """A linear map between two numbers of channels, at every position, in at least float32."""

    def __init__(self, own: Tensor, other: Tensor) -> None:
        dtype = at_least_float32(own.dtype)
        super().__init__(own.shape[1], other.shape[1], device=own.device, dtype=dtype)

    def forward(self, own: Tensor) -> Tensor:
        return super().forward(own.to(self.weight.dtype).movedim(1, -1)).movedim(-1, 1)
