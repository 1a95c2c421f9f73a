"""Knowledge review: Chen, Liu, Zhao and Jia 2021."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api import Batch, Knowledge, Output, Ramp, Run
from kdzoo_feature.functional.reviewkd import hcl_loss
from kdzoo_feature.stages import Stages, paired


class ReviewKD(Knowledge):
    """Shallow stages of the teacher supervise deeper stages of the student.

    Each stage of the student, fused with all deeper ones, predicts the teacher's map of that stage.

    Args:
        stages: the student's stages, counted from the deepest, -1, shallow to deep.
        teacher_stages: the teacher's stages, one for each of ``stages``; None means the same.
        width: channels of the review; None means those of the student's deepest stage, at most 512.
        warmup: the fraction of the phase over which the weight grows linearly to 1.
    """

    name = "reviewkd"
    kind = "feature"

    def __init__(
        self,
        stages: Stages = (-4, -3, -2, -1),
        teacher_stages: Stages | None = None,
        width: PositiveInt | None = None,
        warmup: Annotated[float, Field(ge=0, le=1)] = 1 / 12,
    ) -> None:
        super().__init__()
        self.taps = paired(self.name, stages, teacher_stages)
        self.width = width
        self.ramp = Ramp(start=0.05, until=warmup)
        self.fusions = nn.ModuleList()

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """One fusion for each stage; the deepest has no deeper one to be fused with."""
        width = self.width or min(student.features[-1].shape[1], 512)
        for ours, theirs in zip(student.features, teacher.features, strict=True):
            last = len(self.fusions) == len(student.features) - 1
            fusion = Fusion(ours.shape[1], width, theirs.shape[1], deeper=not last)
            self.fusions.append(fusion.to(ours.device))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, summed over the stages, times the warm-up."""
        losses = []
        review: Tensor | None = None
        for fusion, ours, theirs in reversed(
            list(zip(self.fusions, student.features, teacher.features, strict=True))
        ):
            predicted, review = fusion(ours, review)
            losses.append(hcl_loss(predicted, theirs, reduction="none"))
        return torch.stack(losses).sum(dim=0) * self.ramp(batch.progress)


class Fusion(nn.Module):
    """Attention-based fusion of a student's map with the review of all deeper ones.

    Args:
        ours: channels of the student's map.
        width: channels of the review.
        theirs: channels of the teacher's map.
        deeper: whether there is a deeper stage to be fused with.
    """

    def __init__(self, ours: int, width: int, theirs: int, *, deeper: bool) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(ours, width, 1, bias=False), nn.BatchNorm2d(width))
        self.attend = nn.Sequential(nn.Conv2d(2 * width, 2, 1), nn.Sigmoid()) if deeper else None
        self.predict = nn.Sequential(
            nn.Conv2d(width, theirs, 3, padding=1, bias=False), nn.BatchNorm2d(theirs)
        )

    def forward(self, student: Tensor, review: Tensor | None) -> tuple[Tensor, Tensor]:
        """The prediction of the teacher's map, and the review so far, in the size of the student's map."""
        reduced = self.reduce(student)
        if self.attend is not None and review is not None:
            review = functional.interpolate(review, reduced.shape[2:], mode="nearest")
            weights = self.attend(torch.cat([reduced, review], dim=1))
            reduced = reduced * weights[:, :1] + review * weights[:, 1:]
        return self.predict(reduced), reduced
