"""Exits in the space of logits, for unlike architectures: Hao, Guo, Han, Tang, Hu, Wang and Xu 2023."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field, NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional as F

from kdzoo.api import Batch, Knowledge, Output, Run, Taps
from kdzoo_response.functional import ofa_loss

Stages = Annotated[tuple[int, ...], AfterValidator(lambda stages: Taps(stages).student)]
"""Stage numbers counted from the deepest, -1, ordered shallow to deep."""


class OFA(Knowledge):
    """The student's stages predict, each through an exit of its own, the classes as the teacher does.

    Features of unlike architectures have little in common; logits have. So only the teacher's logits are
    compared, with the student's own and with those of its exits. The exits are not exported.

    Args:
        stages: the student's stages that get an exit, counted from the deepest, -1, shallow to deep.
        gamma: above 1 it enhances the target class of a teacher that is sure of it.
        form: ``paper`` has the cross-entropy with the label inside, ``code`` has not, and raises the other
            classes' probabilities to ``gamma`` as well.
        exits: weight of the exits' losses against that of the student's own logits.
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
    """A map to logits: a separable 3x3 convolution, the mean over the map, a linear classifier.

    Normalised over each sample, so that it works on maps of one pixel and batches of one sample.

    Args:
        feature: an example of the map, (B, C, H, W).
        classes: how many logits.
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
