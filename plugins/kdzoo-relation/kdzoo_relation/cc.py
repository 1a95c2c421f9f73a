"""Correlation congruence: Peng et al. 2019."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from kdzoo.api import Batch, Knowledge, Output, Run, Taps
from kdzoo_relation.functional import cc_loss
from kdzoo_relation.projection import Projection


class CC(Knowledge):
    """The student's embeddings have the teacher's correlations between the samples of a batch.

    Args:
        gamma: γ of the Gaussian kernel of ``form`` paper; a larger one gives more weight to close neighbours.
        order: the last power of the kernel's Taylor series.
        form: ``paper`` compares the kernels of all pairs; ``code`` multiplies the errors of consecutive
            samples of the batch, after learned projections.
        width: width of the projections of ``form`` code.
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
        """Two projections to one width, only for ``form`` code."""
        if self.form == "code":
            self.ours = Projection(student, self.width)
            self.theirs = Projection(teacher, self.width)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """A scalar, since a relation involves several samples."""
        return cc_loss(
            self.ours(student.embedded),
            self.theirs(teacher.embedded),
            gamma=self.gamma,
            order=self.order,
            form=self.form,
        )
