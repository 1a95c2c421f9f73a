"""Weighted soft labels: Zhou, Song, Chen, Zhou, Wang, Yuan and Zhang 2021."""

from __future__ import annotations

from typing import Annotated

from pydantic import PositiveFloat
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output, Tune
from kdzoo_response.functional import wsld_loss


class WSLD(Knowledge):
    """Softened cross-entropy, with less weight on samples where the student already beats the teacher.

    Args:
        temperature: divides both networks' logits; the weights are computed without it.
        standardize: bring each row of logits to mean 0 and deviation 1 before the temperature.
    """

    name = "wsld"
    kind = "response"

    def __init__(
        self,
        temperature: Annotated[PositiveFloat, Tune(1, 20, log=True)] = 4.0,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.standardize = standardize

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; for a sample without a label, the weight uses the teacher's most likely class."""
        return wsld_loss(
            student.logits,
            teacher.logits,
            batch.target,
            temperature=self.temperature,
            standardize=self.standardize,
            reduction="none",
        )
