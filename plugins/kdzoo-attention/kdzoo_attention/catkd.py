"""Class attention transfer: Guo, Yan, Li and Lin 2023."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output, Run, Taps
from kdzoo_attention.class_maps import ClassMaps, require_class_maps
from kdzoo_attention.functional import class_attention_loss


class CATKD(Knowledge):
    """The student's class activation maps match the teacher's.

    Args:
        resolution: the maps are average-pooled to a grid of this side, or to the smaller map's.
        form: ``paper`` compares maps of unit length, ``code`` unscaled maps.
    """

    name = "catkd"
    kind = "feature"
    reads_logits = True
    taps = Taps(probes=(ClassMaps(),))

    def __init__(self, resolution: PositiveInt = 2, form: Literal["paper", "code"] = "paper") -> None:
        super().__init__()
        self.resolution = resolution
        self.form: Literal["paper", "code"] = form

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """Refuse networks whose logits are not averages of class maps; there is no connector."""
        for side, output in (("student", student), ("teacher", teacher)):
            require_class_maps(side, output.extras[ClassMaps()], output.logits)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses."""
        ours, theirs = (output.extras[ClassMaps()][0] for output in (student, teacher))
        return class_attention_loss(
            ours, theirs, resolution=self.resolution, form=self.form, reduction="none"
        )
