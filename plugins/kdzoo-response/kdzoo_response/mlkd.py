"""Logits on several levels: Jin, Wang and Lin 2023."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output
from kdzoo_response.functional import mlkd_loss


class MLKD(Knowledge):
    """Match probabilities per sample, their inner products between samples, and those between classes.

    Args:
        instance: weight of the KL divergence per sample.
        batch: weight of the difference of the samples' inner products.
        classes: weight of the difference of the classes' inner products.
        temperatures: every term is summed over these.
        masked: use only the half of the samples, and of the classes, on which the teacher is least confident.
        standardize: in the divergence, standardise each row of logits to mean 0 and standard deviation 1 first.
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
        """A scalar, since two terms compare samples of the batch; the labels are not used."""
        return mlkd_loss(
            student.logits,
            teacher.logits,
            **self.weights,
            temperatures=self.temperatures,
            masked=self.masked,
            standardize=self.standardize,
        )
