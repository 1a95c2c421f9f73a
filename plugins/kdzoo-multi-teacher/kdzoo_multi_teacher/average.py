"""Teachers with equal weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import PositiveFloat

from kdzoo.api import Batch, Lesson, Output, Run
from kdzoo_multi_teacher.functional import mean_logits, mean_probabilities
from kdzoo_multi_teacher.teachers import Teachers


class Average(Teachers):
    """Every teacher counts the same; what is averaged can be chosen.

    Args:
        average: ``losses``: each teacher gives its lesson, on any knowledge, with weight 1/M. ``probabilities`` or
            ``logits``: one derived teacher, ``ensemble``, whose logits come from the mean; for knowledge on logits.
        temperature: of the softmaxes whose mean is taken, for ``probabilities``.
    """

    name = "average"

    def __init__(
        self,
        average: Literal["losses", "probabilities", "logits"] = "losses",
        temperature: PositiveFloat = 1.0,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.average = average
        self.temperature = temperature

    def enroll(self, run: Run) -> None:
        """Enroll everybody, and derive the ensemble if there is one."""
        super().enroll(run)
        if self.average == "losses":
            return

        def ensemble(batch: Batch) -> Output:
            logits = self.logits(run, batch)
            if self.average == "logits":
                return Output(mean_logits(logits))
            return Output(mean_probabilities(logits, self.temperature))

        run.derive("ensemble", ensemble)

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """Every teacher teaches the student, or the ensemble does."""
        return super().arrows(run) if self.average == "losses" else [("student", "ensemble")]

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """One lesson of each teacher, or one of the ensemble."""
        if self.average == "losses":
            return self.weighed([1 / len(self.roles)] * len(self.roles))
        return super(Teachers, self).lessons(run, batch)
