"""Learning without forgetting: Li and Hoiem 2016."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import PositiveFloat
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output
from kdzoo_lifelong.functional import lwf_loss


class Lwf(Knowledge):
    """Cross-entropy with the teacher's softened probabilities, without temperature squared.

    Args:
        temperature: divides both sides' logits.
    """

    name = "lwf"
    kind: ClassVar[Literal["response", "feature", "relation"]] = "response"

    def __init__(self, temperature: PositiveFloat = 2.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; the labels are not used."""
        return lwf_loss(student.logits, teacher.logits, self.temperature, reduction="none")
