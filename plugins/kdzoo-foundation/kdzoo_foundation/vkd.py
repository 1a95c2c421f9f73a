"""Orthogonal projections: Miles, Elezi and Deng 2024."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal

from kdzoo.api import Batch, Knowledge, Output, Run, Taps
from kdzoo_foundation.functional.vkd import Norm, normalised_loss


class VkD(Knowledge):
    """Pooled features behind an orthogonal projector, which cannot learn what the student should. Reads no label.

    Args:
        norm: how the teacher's features are normalised: ``layer``, ``whiten`` or ``none``.
    """

    name = "vkd"
    kind = "feature"
    taps = Taps(embedding=True)

    def __init__(self, norm: Norm = "layer") -> None:
        super().__init__()
        self.norm: Norm = norm

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """A projector whose rows or columns, whichever are fewer, are orthonormal throughout training."""
        ours, theirs = student.embedded, teacher.embedded
        plain = nn.Linear(ours.shape[1], theirs.shape[1], bias=False, device=ours.device)
        self.projector = orthogonal(plain, orthogonal_map="cayley")

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses."""
        return normalised_loss(
            self.projector(student.embedded), teacher.embedded, norm=self.norm, reduction="none"
        )
