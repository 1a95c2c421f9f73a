"""A simple recipe for distillation: Miles and Mikolajczyk 2024."""

from __future__ import annotations

from pydantic import PositiveFloat
from torch import Tensor, nn

from kdzoo.api import Batch, Knowledge, Output, Run, Taps
from kdzoo_foundation.functional.srd import log_sum_loss


class SRD(Knowledge):
    """Pooled features behind a linear projector, normalised over the batch, compared by a log-sum. Reads no label.

    Args:
        power: of the absolute differences.
    """

    name = "srd"
    kind = "feature"
    taps = Taps(embedding=True)

    def __init__(self, power: PositiveFloat = 4.0) -> None:
        super().__init__()
        self.power = power

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """The projector, without a bias, which the normalisation would remove."""
        ours, theirs = student.embedded, teacher.embedded
        self.projector = nn.Linear(ours.shape[1], theirs.shape[1], bias=False, device=ours.device)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """A scalar, which may be negative."""
        return log_sum_loss(self.projector(student.embedded), teacher.embedded, power=self.power)
