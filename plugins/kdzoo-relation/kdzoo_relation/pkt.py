"""Probabilistic knowledge transfer: Passalis and Tefas 2018."""

from __future__ import annotations

from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output, Taps
from kdzoo_relation.functional import pkt_loss


class PKT(Knowledge):
    """Each sample's neighbours have the same probabilities in the student's embedding as in the teacher's."""

    name = "pkt"
    kind = "relation"
    taps = Taps(embedding=True)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, one for the neighbourhood of each sample."""
        return pkt_loss(student.embedded, teacher.embedded, reduction="none")
