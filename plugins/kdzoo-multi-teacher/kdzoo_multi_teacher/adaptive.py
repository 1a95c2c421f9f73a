"""Teachers weighed in gradient space: Du, You, Li, Wu, Wang, Qian and Zhang 2020."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field, PositiveFloat

from kdzoo.api import Batch, Lesson, Run
from kdzoo_multi_teacher.functional import gradient_weights
from kdzoo_multi_teacher.teachers import Teachers


class Adaptive(Teachers):
    """In each step, the weights with which the teachers' gradients on the logits combine to the shortest one.

    Args:
        tolerance: a teacher's largest weight; nearer to 1 / teachers, all of them must count.
        temperature: of the divergence whose gradients are compared; the knowledge's own.
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
        """One lesson of each teacher, with one weight for the batch."""
        weights = gradient_weights(
            run.see("student", batch).logits,
            self.logits(run, batch),
            temperature=self.temperature,
            tolerance=self.tolerance,
        )
        return self.weighed(weights)
