"""Correlation congruence: Peng et al. 2019."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from kdzoo.api import Batch, Knowledge, Output, Run, Taps
from kdzoo_relation.functional import cc_loss
from kdzoo_relation.projection import Projection


class CC(Knowledge):
    """Embeddings of a batch correlate for the student as they do for the teacher.

    Args:
        gamma: of the Gaussian kernel of ``form`` paper; larger looks at nearer neighbours.
        order: the last power of the kernel's Taylor series.
        form: ``paper`` compares the kernels of all pairs; ``code`` multiplies the errors of neighbours in the
            batch, behind learned projections.
        width: of the projections of ``form`` code.
    """

    name = "cc"
    kind = "relation"
    taps = Taps(embedding=True)

    def __init__(
        self,
        gamma: PositiveFloat = 0.4,
        order: PositiveInt = 2,
        form: Literal["paper", "code"] = "paper",
        width: PositiveInt = 128,
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.order = order
        self.form: Literal["paper", "code"] = form
        self.width = width
        self.ours: nn.Module = nn.Identity()
        self.theirs: nn.Module = nn.Identity()

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """Two projections to one width, for ``form`` code alone."""
        if self.form == "code":
            self.ours = Projection(student, self.width)
            self.theirs = Projection(teacher, self.width)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """A scalar: a relation belongs to several samples."""
        return cc_loss(
            self.ours(student.embedded),
            self.theirs(teacher.embedded),
            gamma=self.gamma,
            order=self.order,
            form=self.form,
        )
