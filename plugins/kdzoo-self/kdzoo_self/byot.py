"""The distillation loss of an exit: Zhang, Song, Gao, Chen, Bao and Ma 2019."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from kdzoo.api import Batch, KdzooError, Knowledge, Output, Taps
from kdzoo_self.functional import byot_loss


class Byot(Knowledge):
    """An exit imitates the deepest classifier's softened probabilities and its last map.

    Args:
        alpha: weight of the divergence; the algorithm weights the exits' task loss with 1 - alpha.
        temperature: divides both sides' logits.
        hint: weight of the squared distance of the maps, summed over channels and positions; 0 switches it
            off.
        t2: multiply the divergence by temperature².
    """

    name = "byot"
    kind = "feature"
    reads_logits = True

    def __init__(
        self,
        alpha: Annotated[float, Field(ge=0, le=1)] = 0.1,
        temperature: PositiveFloat = 3.0,
        hint: NonNegativeFloat = 1e-4,
        t2: bool = True,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.temperature = temperature
        self.hint = hint
        self.t2 = t2
        self.taps = Taps(student=(-1,)) if hint else Taps()

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; the labels are not used."""
        if not self.hint:
            maps: tuple[Tensor, ...] = ()
        else:
            maps = student.features[-1], teacher.features[-1]
            own, other = (one.shape[1] for one in maps)
            if own != other:
                raise KdzooError(
                    f"knowledge 'byot' subtracts maps, and these have {own} and {other} channels: take scheme "
                    "'self-exits', whose exits have the deepest stage's, or knowledge.hint=0"
                )
        return byot_loss(
            student.logits, teacher.logits, *maps, alpha=self.alpha, temperature=self.temperature,
            hint=self.hint, squared=self.t2, reduction="none",
        )  # fmt: skip
