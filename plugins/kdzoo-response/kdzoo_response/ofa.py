"""Exits that predict logits, for different architectures: Hao, Guo, Han, Tang, Hu, Wang and Xu 2023."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field, NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional as F

from kdzoo.api import Batch, Knowledge, Output, Run, Taps
from kdzoo_response.functional import ofa_loss

Stages = Annotated[tuple[int, ...], AfterValidator(lambda stages: Taps(stages).student)]
"""Stages counted from the deepest, -1, ordered from shallow to deep."""


class OFA(Knowledge):
    """An exit at each of the student's stages imitates the teacher's probabilities.

    Features of different architectures have little in common, but logits are comparable. So only the
    teacher's logits are used, for the student's own logits and for those of its exits. The exits are not
    exported.

    Args:
        stages: the student's stages that get an exit, counted from the deepest, -1, shallow to deep.
        gamma: above 1 gives more weight to the target class where the teacher is confident of it.
        form: ``paper`` includes the cross-entropy with the label; ``code`` does not, and raises the other
            classes' probabilities to ``gamma`` too.
        exits: weight of the exits' losses relative to that of the student's own logits.
    """

    name = "ofa"
    kind = "response"

    def __init__(
        self,
        stages: Stages = (-4, -3, -2, -1),
        gamma: Annotated[float, Field(ge=1)] = 1.0,
        form: Literal["paper", "code"] = "paper",
        exits: NonNegativeFloat = 1.0,
    ) -> None:
        super().__init__()
        self.taps = Taps(student=stages, teacher=())
        self.gamma = gamma
        self.form: Literal["paper", "code"] = form
        self.weight = exits
        self.exits = nn.ModuleList()

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """One exit for each stage."""
        for feature in student.features:
            self.exits.append(Exit(feature, teacher.logits.shape[1]))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; for a sample without a label the target is the teacher's most likely class."""
        loss = self._loss(student.logits, teacher, batch)
        for leave, feature in zip(self.exits, student.features, strict=True):
            loss = loss + self.weight * self._loss(leave(feature), teacher, batch)
        return loss

    def _loss(self, logits: Tensor, teacher: Output, batch: Batch) -> Tensor:
        return ofa_loss(
            logits, teacher.logits, batch.target, gamma=self.gamma, form=self.form, reduction="none"
        )


class Exit(nn.Module):
    """From a feature map to logits: a separable 3x3 convolution, average pooling, a linear classifier.

    The normalisation is per sample, so that it works on maps of one pixel and batches of one sample.

    Args:
        feature: an example of the map, (B, C, H, W).
        classes: number of logits.
    """

    def __init__(self, feature: Tensor, classes: int) -> None:
        super().__init__()
        channels = feature.shape[1]
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.mixing = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.GroupNorm(1, channels)
        self.classifier = nn.Linear(channels, classes)
        self.to(feature.device)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, H, W) to (B, K) logits."""
        feature = feature.to(self.classifier.weight.dtype)
        feature = F.gelu(self.norm(self.mixing(self.spatial(feature))))
        logits: Tensor = self.classifier(torch.mean(feature, dim=(2, 3)))
        return logits
