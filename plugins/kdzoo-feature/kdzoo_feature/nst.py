"""Neuron selectivity transfer: Huang and Wang 2017."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from kdzoo.api import Batch, KdzooError, Knowledge, Output, Run
from kdzoo_feature.functional.nst import nst_loss
from kdzoo_feature.stages import Stages, paired


class NST(Knowledge):
    """The student's channels learn the spatial patterns of the teacher's, in any order.

    Args:
        stages: the student's stages, counted from the deepest, -1, shallow to deep.
        teacher_stages: the teacher's stages, one for each of ``stages``; None means the same.
        degree: of the kernel (x·y + offset)^degree; 1 is the paper's linear kernel, 2 its polynomial one.
        offset: of the kernel.
    """

    name = "nst"
    kind = "feature"

    def __init__(
        self,
        stages: Stages = (-3,),
        teacher_stages: Stages | None = None,
        degree: Annotated[int, Field(ge=1, le=8)] = 2,
        offset: NonNegativeFloat = 0.0,
    ) -> None:
        super().__init__()
        self.taps = paired(self.name, stages, teacher_stages)
        self.degree = degree
        self.offset = offset

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """Refuse maps of one pixel, which have no pattern; there is no connector."""
        numbers = zip(self.taps.of("student"), self.taps.of("teacher"), strict=True)
        for (ours, theirs), one, other in zip(numbers, student.features, teacher.features, strict=True):
            sides = (min(pair) for pair in zip(one.shape[-2:], other.shape[-2:], strict=True))
            if tuple(sides) == (1, 1):
                raise KdzooError(
                    f"knowledge 'nst' compares patterns over pixels, and the student's stage {ours} and the "
                    f"teacher's stage {theirs} share a single pixel: choose shallower knowledge.stages"
                )

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, summed over the pairs of stages."""
        losses = [
            nst_loss(ours, theirs, degree=self.degree, offset=self.offset, reduction="none")
            for ours, theirs in zip(student.features, teacher.features, strict=True)
        ]
        return torch.stack(losses).sum(dim=0)
