"""Decoupled logits: Zhao, Cui, Song, Qiu and Liang 2022."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output, Ramp, Tune
from kdzoo_response.functional import dkd_loss


class DKD(Knowledge):
    """KL divergence split into target and non-target classes, with a weight for each part.

    Args:
        alpha: weight of the divergence between the two-way distributions (target, all other classes).
        beta: weight of the divergence between the distributions over the other classes.
        temperature: divides both networks' logits.
        warmup: the fraction of the phase over which the loss grows linearly from zero to its full weight.
        standardize: standardise each row of logits to mean 0 and standard deviation 1 first.
    """

    name = "dkd"
    kind = "response"

    def __init__(
        self,
        alpha: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
        beta: Annotated[NonNegativeFloat, Tune(around=10)] = 8.0,
        temperature: Annotated[PositiveFloat, Tune(1, 20, log=True)] = 4.0,
        warmup: Annotated[float, Field(ge=0, le=1)] = 20 / 240,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.temperature = temperature
        self.weight = Ramp(until=warmup)
        self.standardize = standardize

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; for a sample without a label, the target is the teacher's most likely class."""
        loss = dkd_loss(
            student.logits,
            teacher.logits,
            batch.target,
            alpha=self.alpha,
            beta=self.beta,
            temperature=self.temperature,
            standardize=self.standardize,
            reduction="none",
        )
        return self.weight(batch.progress) * loss
