"""Features of a foundation model without labels: the form of AM-RADIO, Ranzinger et al. 2024."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdzoo.api import Batch, Knowledge, Output, Run
from kdzoo_foundation.head import SHOWN_BY_LONGER_RUNS, Head, Terms
from kdzoo_foundation.standardise import Running

Momentum = Annotated[float, Field(gt=0, le=1)]


class Features(Terms, Knowledge):
    """The student predicts the teacher's pooled vector, its last map, or both. No label and no logit is read.

    Args:
        standardise: give each channel of the teacher's features mean 0 and deviation 1, by running averages.
        momentum: weight of the newest batch in these averages.
    """

    name = "features"
    kind = "feature"
    exempt: ClassVar = SHOWN_BY_LONGER_RUNS

    def __init__(self, standardise: bool = True, momentum: Momentum = 0.01, **settings: Any) -> None:
        super().__init__(**settings)
        self.standardise = standardise
        self.momentum = momentum

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """A projector for each term, and the teacher's averages."""

        def standard(term: str, example: Tensor) -> nn.Module:
            if not self.standardise:
                return nn.Identity()
            return Running(example.shape[1], self.momentum, device=example.device)

        self.head = Head(self, student, teacher, standard)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, the weighted sum of the terms."""
        loss: Tensor = self.head(student, teacher)
        return loss
