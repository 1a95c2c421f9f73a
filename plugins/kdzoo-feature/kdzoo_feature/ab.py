"""Activation boundaries: Heo, Lee, Yun and Choi 2019."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from kdzoo.api import Batch, Knowledge, Output, Run, at_least_float32
from kdzoo_feature.functional.ab import boundary_loss
from kdzoo_feature.stages import Stages, paired


class ActivationBoundaries(Knowledge):
    """The student's neurons learn to be active for the same images, at the same positions, as the teacher's.

    Args:
        stages: the student's stages, counted from the deepest, -1, shallow to deep.
        teacher_stages: the teacher's stages, one for each of ``stages``; None means the same.
        margin: distance from zero that the student's pre-activations must reach, on the right side.
        scale: factor of the whole loss, which is a sum over all neurons.
    """

    name = "ab"
    kind = "feature"

    def __init__(
        self,
        stages: Stages = (-3, -2, -1),
        teacher_stages: Stages | None = None,
        margin: PositiveFloat = 1.0,
        scale: PositiveFloat = 0.003,
    ) -> None:
        super().__init__()
        self.taps = paired(self.name, stages, teacher_stages)
        self.margin = margin
        self.scale = scale
        self.connectors = nn.ModuleList()

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """One connector for each pair of stages."""
        for ours, theirs in zip(student.features, teacher.features, strict=True):
            self.connectors.append(Connector(ours, theirs))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; the deepest stage has weight ``scale``, each shallower one half the weight of the next."""
        pairs = zip(self.connectors, student.features, teacher.features, strict=True)
        losses = [
            0.5 ** (len(self.connectors) - 1 - number)
            * boundary_loss(connector(ours), theirs, margin=self.margin, reduction="none")
            for number, (connector, ours, theirs) in enumerate(pairs)
        ]
        return self.scale * torch.stack(losses).sum(dim=0)


class Connector(nn.Module):
    """A 1x1 convolution to the teacher's channels and batch normalisation, in at least float32.

    Args:
        ours: an example of the student's map.
        theirs: an example of the teacher's map.
    """

    def __init__(self, ours: Tensor, theirs: Tensor) -> None:
        super().__init__()
        dtype = at_least_float32(ours.dtype)
        self.conv = nn.Conv2d(ours.shape[1], theirs.shape[1], 1, bias=False, device=ours.device, dtype=dtype)
        self.norm = nn.BatchNorm2d(theirs.shape[1], device=ours.device, dtype=dtype)

    def forward(self, feature: Tensor) -> Tensor:
        """The (B, C, H, W) map with the teacher's number of channels."""
        mapped: Tensor = self.norm(self.conv(feature.to(self.conv.weight.dtype)))
        return mapped
