"""Normalised logits: Yang, Zeng, Li, Zhang, Yuan and Li 2023."""

from __future__ import annotations

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output
from kdzoo_response.functional import nkd_loss


class NKD(Knowledge):
    """The student imitates how sure of the label the teacher is, and how it shares out what is left.

    Args:
        gamma: weight of the part on the classes that are not the target.
        temperature: divides the logits of that part; the target's part is not softened.
        standardize: bring each row of logits to mean 0 and deviation 1 in the softened part.
    """

    name = "nkd"
    kind = "response"

    def __init__(
        self, gamma: NonNegativeFloat = 1.5, temperature: PositiveFloat = 1.0, standardize: bool = False
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
