"""Inter-channel correlation: Liu et al. 2021."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from kdzoo.api import Batch, Knowledge, Output, Run
from kdzoo_relation.functional import ickd_loss
from kdzoo_relation.projection import Channels
from kdzoo_relation.stages import Stages, paired


class ICKD(Knowledge):
    """The student's channels, after a learned linear map, have the teacher's correlations between channels.

    Args:
        form: ``code`` scales each channel's correlations to unit length, ``paper`` does not.
        stages: the student's stages, counted from the deepest, -1, shallow to deep.
        teacher_stages: the teacher's stages, one for each of ``stages``; None means the same.
    """

    name = "ickd"
    kind = "relation"

    def __init__(
        self,
        form: Literal["code", "paper"] = "code",
        stages: Annotated[Stages, Field(min_length=1)] = (-2,),
        teacher_stages: Annotated[Stages, Field(min_length=1)] | None = None,
    ) -> None:
        super().__init__()
        self.form: Literal["code", "paper"] = form
        self.taps = paired(self.name, stages, teacher_stages)
        self.connectors = nn.ModuleList()

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """A 1x1 convolution with BatchNorm for each pair of stages, even where the numbers of channels agree."""
        for ours, theirs in zip(student.features, teacher.features, strict=True):
            connect = Channels(ours, theirs.shape[1])
            norm = nn.BatchNorm2d(theirs.shape[1], device=ours.device, dtype=connect.weight.dtype)
            self.connectors.append(nn.Sequential(connect, norm))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, summed over the pairs of stages."""
        losses = [
            ickd_loss(connector(ours), theirs, form=self.form, reduction="none")
            for connector, ours, theirs in zip(
                self.connectors, student.features, teacher.features, strict=True
            )
        ]
        return torch.stack(losses).sum(dim=0)
