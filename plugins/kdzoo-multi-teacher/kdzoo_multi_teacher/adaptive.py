"""Teachers weighted in gradient space: Du, You, Li, Wu, Wang, Qian and Zhang 2020."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field, PositiveFloat

from kdzoo.api import Batch, Lesson, Run
from kdzoo_multi_teacher.functional import gradient_weights
from kdzoo_multi_teacher.teachers import Teachers


class Adaptive(Teachers):
    """In each step, the weights that minimise the norm of the teachers' combined gradient on the logits.

    Args:
        tolerance: the largest weight of a teacher; the closer to 1 / teachers, the more equal the weights.
        temperature: temperature of the divergence whose gradients are combined; use the knowledge's.
    """

    name = "adaptive"

    def __init__(
        self,
        tolerance: Annotated[float, Field(gt=0, le=1)] = 0.6,
        temperature: PositiveFloat = 4.0,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.tolerance = tolerance
        self.temperature = temperature

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """One lesson from each teacher, with one weight for the batch."""
        weights = gradient_weights(
            run.see("student", batch).logits,
            self.logits(run, batch),
            temperature=self.temperature,
            tolerance=self.tolerance,
        )
        return self.weighted(weights)
