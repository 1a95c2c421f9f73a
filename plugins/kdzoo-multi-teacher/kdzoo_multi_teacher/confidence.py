"""Teachers weighted by their cross-entropy with the labels: Zhang, Chen and Wang 2022."""

from __future__ import annotations

from collections.abc import Iterable

from kdzoo.api import Batch, Lesson, Run, refuse_mixing
from kdzoo_multi_teacher.functional import confidence_weights
from kdzoo_multi_teacher.teachers import Teachers


class ConfidenceAware(Teachers):
    """For each sample, a teacher whose prediction fits the label has more weight.

    Labels are used only for the weights; without a label, all teachers have the same weight.

    Args:
        teachers: number of teachers. The largest weight is at most 1 / (teachers - 1).
    """

    name = "confidence-aware"

    def enroll(self, run: Run) -> None:
        """Enroll the student and every teacher."""
        refuse_mixing(
            run,
            "scheme 'confidence-aware' weights teachers by class ids",
            instead="take scheme entropy-weighted",
        )
        super().enroll(run)

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """One lesson from each teacher, with a weight for each sample."""
        if batch.target is None:
            return self.weighted([1 / len(self.roles)] * len(self.roles))
        return self.weighted(confidence_weights(self.logits(run, batch), batch.target))
