"""Factor transfer: Kim, Park and Kwak 2018."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from kdzoo.api import Batch, Knowledge, Output, Run, at_least_float32
from kdzoo_feature.functional.fitnet import hint_loss
from kdzoo_feature.functional.ft import factor_loss
from kdzoo_feature.stages import Stages, paired

PART = "factor-transfer"
"""The key of ``run.state`` with the current part of the method, set by the algorithm."""


class FactorTransfer(Knowledge):
    """A translator maps the student's map to the factor that a paraphraser extracts from the teacher's map.

    The paraphraser is trained only to reconstruct the teacher's map from its factor, without labels. The
    algorithm ``factor-transfer`` trains it first and then freezes it; with another algorithm it is trained at
    the same time as the student.

    Args:
        stages: the student's stages, counted from the deepest, -1, shallow to deep.
        teacher_stages: the teacher's stages, one for each of ``stages``; None means the same.
        rate: channels of a factor, relative to those of the teacher's map.
        power: power of the difference of two factors: 1 for its absolute value, 2 for its square.
        form: ``mean`` over the elements of a factor, as in the authors' code, or ``sum``.
    """

    name = "ft"
    kind = "feature"

    def __init__(
        self,
        stages: Stages = (-1,),
        teacher_stages: Stages | None = None,
        rate: Annotated[float, Field(gt=0, le=4)] = 0.5,
        power: Literal[1, 2] = 1,
        form: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__()
        self.taps = paired(self.name, stages, teacher_stages)
        self.rate = rate
        self.power: Literal[1, 2] = power
        self.form: Literal["mean", "sum"] = form
        self.encoders = nn.ModuleList()
        self.decoders = nn.ModuleList()
        self.translators = nn.ModuleList()
        self._run: Run | None = None

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """A paraphraser (encoder and decoder) and a translator for each pair of stages."""
        self._run = run
        for ours, theirs in zip(student.features, teacher.features, strict=True):
            mine, its = ours.shape[1], theirs.shape[1]
            width = max(1, round(self.rate * its))
            self.encoders.append(Convolutions(theirs, its, its, width, width))
            self.decoders.append(Convolutions(theirs, width, width, its, its))
            self.translators.append(Convolutions(ours, mine, mine, width, width))

    @property
    def part(self) -> str | None:
        """``paraphrase``, ``transfer``, or None for both at the same time."""
        return None if self._run is None else self._run.state.get(PART)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, summed over the pairs of stages: of the paraphraser, of the student, or both."""
        parts = []
        if self.part != "transfer":
            parts.extend(self._rebuilding(teacher))
        if self.part != "paraphrase":
            parts.extend(self._transfer(student, teacher))
        return torch.stack(parts).sum(dim=0)

    def _rebuilding(self, teacher: Output) -> list[Tensor]:
        return [
            hint_loss(decoder(encoder(theirs)), theirs, reduction="none")
            for encoder, decoder, theirs in zip(self.encoders, self.decoders, teacher.features, strict=True)
        ]

    def _transfer(self, student: Output, teacher: Output) -> list[Tensor]:
        with torch.no_grad():
            factors = [
                encoder(theirs) for encoder, theirs in zip(self.encoders, teacher.features, strict=True)
            ]
        return [
            factor_loss(translator(ours), factor, power=self.power, form=self.form, reduction="none")
            for translator, ours, factor in zip(self.translators, student.features, factors, strict=True)
        ]


class Convolutions(nn.Module):
    """Three 3x3 convolutions, each with a leaky ReLU, in at least float32.

    Args:
        example: a map with the dtype and device of the convolutions.
        widths: channels before the first convolution and after each.
    """

    def __init__(self, example: Tensor, *widths: int) -> None:
        super().__init__()
        self.dtype = at_least_float32(example.dtype)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            conv = nn.Conv2d(before, after, 3, padding=1, device=example.device, dtype=self.dtype)
            layers.extend((conv, nn.LeakyReLU(0.1)))
        self.layers = nn.Sequential(*layers)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H, W)."""
        answer: Tensor = self.layers(feature.to(self.dtype))
        return answer
