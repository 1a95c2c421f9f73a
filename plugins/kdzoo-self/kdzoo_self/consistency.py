"""Consistency with the average of the student's weights: Tarvainen and Valpola 2017."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output
from kdzoo_self.functional import probability_mse


class Consistency(Knowledge):
    """Mean squared difference of the student's and the teacher's probabilities."""

    name = "consistency"
    kind = "response"
    exempt: ClassVar = {"teacher:ema": "the teacher of the scheme ema is the moving average of the student"}

    def __init__(self) -> None:
        super().__init__()

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; the labels are not used."""
        return probability_mse(student.logits, teacher.logits, reduction="none")
