"""Logits on several levels: Jin, Wang and Lin 2023."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output
from kdzoo_response.functional import mlkd_loss


class MLKD(Knowledge):
    """The student imitates each sample's probabilities, how samples resemble each other, and how classes do.

    Args:
        instance: weight of each sample's divergence.
        batch: weight of the differences between the samples' resemblances.
        classes: weight of the differences between the classes' resemblances.
        temperatures: every term is summed over these.
        masked: only the half of the samples, and of the classes, that the teacher is least sure of counts.
        standardize: bring each row of logits to mean 0 and deviation 1 before the temperatures.
    """

    name = "mlkd"
    kind = "response"

    def __init__(
        self,
        instance: NonNegativeFloat = 1.0,
        batch: NonNegativeFloat = 1.0,
        classes: NonNegativeFloat = 1.0,
        temperatures: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (2.0, 3.0, 4.0, 5.0, 6.0),
        masked: bool = False,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.weights = {"instance": instance, "batch": batch, "classes": classes}
        self.temperatures = temperatures
        self.masked = masked
        self.standardize = standardize

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """A scalar, for two of the terms compare the samples of a batch; the labels are not used."""
        return mlkd_loss(
            student.logits,
            teacher.logits,
            **self.weights,
            temperatures=self.temperatures,
            masked=self.masked,
            standardize=self.standardize,
        )
