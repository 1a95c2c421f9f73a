"""Variational information distillation: Ahn, Hu, Damianou, Lawrence and Dai 2019."""

from __future__ import annotations

import math

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api import Batch, Knowledge, Output, Run
from kdzoo_feature.functional.vid import vid_loss
from kdzoo_feature.stages import Stages, paired

_LEAST = 1e-5
"""Added to every variance."""


class VID(Knowledge):
    """Maximise a lower bound of the mutual information between the student's maps and the teacher's.

    Args:
        stages: the student's stages, counted from the deepest, -1, shallow to deep.
        teacher_stages: the teacher's stages, one for each of ``stages``; None means the same.
        variance: initial variance of every channel; it is learned.
    """

    name = "vid"
    kind = "feature"

    def __init__(
        self,
        stages: Stages = (-3, -2, -1),
        teacher_stages: Stages | None = None,
        variance: PositiveFloat = 5.0,
    ) -> None:
        super().__init__()
        self.taps = paired(self.name, stages, teacher_stages)
        self.variance = variance
        self.gaussians = nn.ModuleList()

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """One Gaussian for each pair of stages."""
        for ours, theirs in zip(student.features, teacher.features, strict=True):
            self.gaussians.append(Gaussian(ours.shape[1], theirs.shape[1], self.variance).to(ours.device))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, summed over the pairs of stages."""
        losses = []
        for gaussian, ours, theirs in zip(self.gaussians, student.features, teacher.features, strict=True):
            mean, variance = gaussian(ours)
            losses.append(vid_loss(mean, theirs, variance, reduction="none"))
        return torch.stack(losses).sum(dim=0)


class Gaussian(nn.Module):
    """Mean and variance of q(t | s), the teacher's map given the student's.

    Args:
        ours: channels of the student's map.
        theirs: channels of the teacher's map.
        variance: initial value, > 0.
    """

    def __init__(self, ours: int, theirs: int, variance: float) -> None:
        super().__init__()
        self.mean = nn.Sequential(
            nn.Conv2d(ours, theirs, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(theirs, theirs, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(theirs, theirs, 1, bias=False),
        )
        start = max(variance - _LEAST, _LEAST)
        # The inverse of softplus, in a form that does not overflow.
        self.rho = nn.Parameter(torch.full((theirs,), start + math.log(-math.expm1(-start))))

    def forward(self, student: Tensor) -> tuple[Tensor, Tensor]:
        """The (B, C, H, W) mean and the (C,) variance."""
        return self.mean(student.to(self.rho.dtype)), functional.softplus(self.rho) + _LEAST
