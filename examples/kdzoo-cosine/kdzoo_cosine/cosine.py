"""The knowledge ``cosine``, and its loss as a pure function."""

from __future__ import annotations

from kdzoo.api import Batch, Knowledge, Output, Run, Taps
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the cosine of the angle between two embeddings.

    Args:
        student: (B, D).
        teacher: (B, D).

    Returns:
        (B,), one loss per sample, from 0 (same direction) to 2 (opposite directions).

    """
    return 1 - functional.cosine_similarity(student.float(), teacher.float(), dim=1)


class Cosine(Knowledge):
    """A learned linear map of the student's embedding points in the direction of the teacher's.

    Args:
        scale: multiplies the loss.

    """

    name = "cosine"
    kind = "feature"
    taps = Taps(embedding=True)

    def __init__(self, scale: PositiveFloat = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """Make the linear map from the student's width to the teacher's."""
        self.connector = nn.Linear(student.embedded.shape[1], teacher.embedded.shape[1])

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, so that schemes can weight each sample."""
        return self.scale * cosine_loss(self.connector(student.embedded), teacher.embedded)
