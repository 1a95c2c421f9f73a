"""Class probabilities across modalities: the response loss of Hong, Dai and Ding 2022."""

from __future__ import annotations

from pydantic import PositiveFloat
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output, softened_kl


class CMKD(Knowledge):
    """The student's class probabilities match the teacher's for the other modality of the same sample.

    Args:
        temperature: temperature of both softmaxes; the loss is multiplied by temperature².
    """

    name = "cmkd"
    kind = "response"

    def __init__(self, temperature: PositiveFloat = 4.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; the labels are not used."""
        return softened_kl(student.logits, teacher.logits, self.temperature)
