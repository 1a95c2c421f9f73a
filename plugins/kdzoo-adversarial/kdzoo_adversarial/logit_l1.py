"""The L1 distance of logits: Xu, Hsu and Huang 2018."""

from __future__ import annotations

from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output
from kdzoo_adversarial.functional.versus import l1_distance


class LogitL1(Knowledge):
    """Mean absolute difference between the logits of student and teacher."""

    name = "logit-l1"
    kind = "response"

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,), at least 0."""
        return l1_distance(student.logits, teacher.logits)
