"""Hints: Romero, Ballas, Kahou, Chassang, Gatta and Bengio 2015."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdzoo.api import Batch, Knowledge, Output, Run, at_least_float32
from kdzoo_feature.functional import hint_loss
from kdzoo_feature.stages import Stages, paired


class FitNet(Knowledge):
    """A hidden layer of the student predicts, through a learned linear map, a hidden layer of the teacher.

    Args:
        stages: the student's guided stages, counted from the deepest, -1, shallow to deep.
        teacher_stages: the teacher's hint stages, one for each of ``stages``; None means the same.
    """

    name = "fitnet"
    kind = "feature"

    def __init__(self, stages: Stages = (-2,), teacher_stages: Stages | None = None) -> None:
        super().__init__()
        self.taps = paired(self.name, stages, teacher_stages)
        self.regressors = nn.ModuleList()

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """One regressor for each pair of stages."""
        for guided, hint in zip(student.features, teacher.features, strict=True):
            self.regressors.append(Regressor(guided, hint))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, summed over the pairs of stages."""
        losses = [
            hint_loss(regressor(guided), hint, reduction="none")
            for regressor, guided, hint in zip(
                self.regressors, student.features, teacher.features, strict=True
            )
        ]
        return torch.stack(losses).sum(dim=0)


class Regressor(nn.Conv2d):
    """A 1x1 convolution from the student's channels to the teacher's, in at least float32.

    Args:
        guided: an example of the student's map.
        hint: an example of the teacher's map.
    """

    def __init__(self, guided: Tensor, hint: Tensor) -> None:
        dtype = at_least_float32(guided.dtype)
        super().__init__(guided.shape[1], hint.shape[1], 1, device=guided.device, dtype=dtype)

    def forward(self, guided: Tensor) -> Tensor:
        """The (B, C, H, W) map with the teacher's number of channels."""
        return super().forward(guided.to(self.weight.dtype))
