"""Correlated probabilities: Huang, You, Wang, Qian and Xu 2022."""

from __future__ import annotations

from typing import Annotated

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output, Tune
from kdzoo_response.functional import dist_loss


class DIST(Knowledge):
    """The student's probabilities correlate with the teacher's, over classes and over the samples of a batch.

    Args:
        beta: weight of the correlation over the classes of each sample.
        gamma: weight of the correlation over the samples of each class.
        temperature: divides both networks' logits.
        standardize: standardise each row of logits to mean 0 and standard deviation 1 first.
    """

    name = "dist"
    kind = "response"

    def __init__(
        self,
        beta: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
        gamma: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
        temperature: Annotated[PositiveFloat, Tune(1, 20, log=True)] = 1.0,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.beta = beta
        self.gamma = gamma
        self.temperature = temperature
        self.standardize = standardize

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """A scalar, since the second part compares samples of the batch; the labels are not used."""
        return dist_loss(
            student.logits,
            teacher.logits,
            beta=self.beta,
            gamma=self.gamma,
            temperature=self.temperature,
            standardize=self.standardize,
        )
