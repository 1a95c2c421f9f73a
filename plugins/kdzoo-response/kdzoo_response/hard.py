"""Hard labels from a teacher: Touvron, Cord, Douze, Massa, Sablayrolles and Jegou 2021."""

from __future__ import annotations

from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output
from kdzoo_response.functional import hard_loss


class Hard(Knowledge):
    """The teacher's most likely class is the label."""

    name = "hard"
    kind = "response"

    def __init__(self) -> None:
        super().__init__()

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; the labels are not used."""
        return hard_loss(student.logits, teacher.logits, reduction="none")
