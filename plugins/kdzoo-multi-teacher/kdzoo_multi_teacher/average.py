"""Teachers with equal weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import PositiveFloat

from kdzoo.api import Batch, Lesson, Output, Run
from kdzoo_multi_teacher.functional import mean_logits, mean_probabilities
from kdzoo_multi_teacher.teachers import Teachers


class Average(Teachers):
    """All teachers have the same weight; losses, probabilities or logits are averaged.

    Args:
        average: ``losses``: one lesson from each teacher with weight 1/M, for any knowledge.
            ``probabilities`` or ``logits``: one derived teacher, ``ensemble``, with logits from the mean; for
            knowledge on logits.
        temperature: temperature of the averaged softmaxes, for ``probabilities``.
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
        """Enroll all networks, and derive the ensemble if there is one."""
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
        """From every teacher to the student, or from the ensemble."""
        return super().arrows(run) if self.average == "losses" else [("student", "ensemble")]

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """One lesson from each teacher, or one from the ensemble."""
        if self.average == "losses":
            return self.weighted([1 / len(self.roles)] * len(self.roles))
        return super(Teachers, self).lessons(run, batch)
