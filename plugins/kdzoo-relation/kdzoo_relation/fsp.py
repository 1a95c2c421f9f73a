"""Flow of solution procedure: Yim, Joo, Bae and Kim 2017."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from kdzoo.api import Batch, Knowledge, Output, Run
from kdzoo_relation.functional import fsp_loss
from kdzoo_relation.projection import Channels
from kdzoo_relation.stages import Stages, paired


class FSP(Knowledge):
    """The Gramian between the channels of two consecutive stages matches the teacher's.

    Args:
        form: ``paper`` max-pools larger maps and sums the squared differences; ``code`` average-pools and takes
            their mean.
        stages: the student's stages, counted from the deepest, -1, shallow to deep; two consecutive ones make
            one matrix.
        teacher_stages: the teacher's stages, one for each of ``stages``; None means the same.
    """

    name = "fsp"
    kind = "relation"

    def __init__(
        self,
        form: Literal["paper", "code"] = "paper",
        stages: Annotated[Stages, Field(min_length=2)] = (-4, -3, -2),
        teacher_stages: Annotated[Stages, Field(min_length=2)] | None = None,
    ) -> None:
        super().__init__()
        self.form: Literal["paper", "code"] = form
        self.taps = paired(self.name, stages, teacher_stages)
        self.connectors = nn.ModuleList()

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """A connector for each stage at which the networks differ in channels."""
        for ours, theirs in zip(student.features, teacher.features, strict=True):
            same = ours.shape[1] == theirs.shape[1]
            self.connectors.append(nn.Identity() if same else Channels(ours, theirs.shape[1]))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, summed over the pairs of consecutive stages."""
        pairs = zip(self.connectors, student.features, strict=True)
        ours = [connector(feature) for connector, feature in pairs]
        return fsp_loss(ours, teacher.features, form=self.form, reduction="none")
