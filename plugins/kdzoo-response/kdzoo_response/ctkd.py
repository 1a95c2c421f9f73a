"""A learned temperature: Li, Li, Yang, Zhao, Song, Luo, Li and Yang 2023."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from kdzoo.api import Batch, Knowledge, Output, Ramp
from kdzoo_response.functional import ctkd_loss, reversed_gradient


class CTKD(Knowledge):
    """KL divergence at a learned temperature that maximises the loss.

    The temperature is ``lowest + span * sigmoid(theta)``. Its gradient is reversed, with a strength that
    grows from zero, so that the task becomes harder gradually.

    Args:
        lowest: the lowest temperature.
        span: width of the temperature's range above ``lowest``.
        theta: initial value of the learned parameter.
        strength: the factor of the reversed gradient at the end of the curriculum.
        curriculum: fraction of the phase over which the strength grows from zero, along half a cosine period.
        standardize: standardise each row of logits to mean 0 and standard deviation 1 first.
    """

    name = "ctkd"
    kind = "response"

    def __init__(
        self,
        lowest: PositiveFloat = 1.0,
        span: PositiveFloat = 20.0,
        theta: float = 1.0,
        strength: NonNegativeFloat = 1.0,
        curriculum: Annotated[float, Field(ge=0, le=1)] = 10 / 240,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.lowest = lowest
        self.span = span
        self.theta = nn.Parameter(torch.tensor(theta))
        self.strength = Ramp(end=strength, until=curriculum, shape="cosine")
        self.standardize = standardize

    @property
    def temperature(self) -> Tensor:
        """The current temperature: a scalar with gradient to ``theta``."""
        return self._temperature(self.theta)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; the labels are not used."""
        theta = reversed_gradient(self.theta, self.strength(batch.progress))
        return ctkd_loss(
            student.logits,
            teacher.logits,
            self._temperature(theta),
            standardize=self.standardize,
            reduction="none",
        )

    def _temperature(self, theta: Tensor) -> Tensor:
        return self.lowest + self.span * theta.sigmoid()
