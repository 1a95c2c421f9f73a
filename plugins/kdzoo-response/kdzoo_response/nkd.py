"""Normalised logits: Yang, Zeng, Li, Zhang, Yuan and Li 2023."""

from __future__ import annotations

from typing import Annotated

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output, Tune
from kdzoo_response.functional import nkd_loss


class NKD(Knowledge):
    """Match the target's probability, and the normalised distribution over the other classes.

    Args:
        gamma: weight of the part on the non-target classes.
        temperature: divides the logits of that part; the target's part is not softened.
        standardize: standardise each row of logits to mean 0 and standard deviation 1 in the softened part.
    """

    name = "nkd"
    kind = "response"

    def __init__(
        self,
        gamma: Annotated[NonNegativeFloat, Tune(around=10)] = 1.5,
        temperature: Annotated[PositiveFloat, Tune(1, 20, log=True)] = 1.0,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.temperature = temperature
        self.standardize = standardize

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; for a sample without a label the target is the teacher's most likely class."""
        return nkd_loss(
            student.logits,
            teacher.logits,
            batch.target,
            gamma=self.gamma,
            temperature=self.temperature,
            standardize=self.standardize,
            reduction="none",
        )
