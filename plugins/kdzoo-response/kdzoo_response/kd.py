"""Softened logits: Hinton, Vinyals and Dean 2014."""

from __future__ import annotations

from typing import Annotated

from pydantic import PositiveFloat
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output, Tune
from kdzoo_response.functional import kd_loss


class KD(Knowledge):
    """The student imitates the teacher's softened class probabilities.

    Args:
        temperature: divides both networks' logits; a higher one gives more weight to the wrong classes.
        standardize: standardise each row of logits to mean 0 and standard deviation 1 first.
    """

    name = "kd"
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
        """(B,) losses; the labels are not used."""
        return kd_loss(
            student.logits,
            teacher.logits,
            temperature=self.temperature,
            standardize=self.standardize,
            reduction="none",
        )
