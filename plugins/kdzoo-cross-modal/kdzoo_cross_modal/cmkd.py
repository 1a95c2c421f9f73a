"""Class probabilities across modalities: Hong, Dai and Ding 2022, the part on responses."""

from __future__ import annotations

from pydantic import PositiveFloat
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output, softened_kl


class CMKD(Knowledge):
    """The student's classes are to be what the teacher says of the other modality of the same sample.

    Args:
        temperature: of both softmaxes; the loss is multiplied by temperature².
    """

    name = "cmkd"
    kind = "response"

    def __init__(self, temperature: PositiveFloat = 4.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) divergences; no label is read."""
        return softened_kl(student.logits, teacher.logits, self.temperature)
