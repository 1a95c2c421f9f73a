"""Relations of samples: Park, Kim, Lu and Cho 2019."""

from __future__ import annotations

from pydantic import NonNegativeFloat
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output, Taps
from kdzoo_relation.functional import rkd_loss


class RKD(Knowledge):
    """The student's embeddings of a batch keep the teacher's relative distances and angles.

    Args:
        distance: weight of the loss on pairwise distances.
        angle: weight of the loss on the angles of triplets; its cost grows with the cube of the batch size.
    """

    name = "rkd"
    kind = "relation"
    taps = Taps(embedding=True)

    def __init__(self, distance: NonNegativeFloat = 25.0, angle: NonNegativeFloat = 50.0) -> None:
        super().__init__()
        self.distance = distance
        self.angle = angle

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """A scalar, since a relation involves several samples."""
        return rkd_loss(
            student.embedded, teacher.embedded, distance_weight=self.distance, angle_weight=self.angle
        )
