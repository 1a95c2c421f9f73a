"""Distillation between samples of the same class: Yun, Park, Lee and Shin 2020."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from kdzoo.api import Batch, Lesson, Output, Run, Scheme, refuse_mixing
from kdzoo_self.functional import draw_same_class


class SameClass(Scheme):
    """The teacher is the student's prediction for another image of the same class, drawn in every step.

    An image without a label is paired with itself, with another augmentation.
    """

    name = "same-class"
    kind = "self"

    def __init__(self) -> None:
        self._pair: tuple[Batch, Batch] | None = None

    def enroll(self, run: Run) -> None:
        """Enroll the student, and its predictions for the partners as a derived teacher."""
        refuse_mixing(run, "scheme 'same-class' pairs each image with another one of its class")
        run.enroll("student", run.build("student"))
        run.derive("partner", lambda batch: self._answer(run, batch))

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """From the partner to the sample."""
        return [("student", "partner")]

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """Draw a partner for each sample; one lesson."""
        drawn = torch.rand(len(batch), generator=run.generator("same-class"), device=run.device)
        partner = draw_same_class(batch.index, run.data.labels, drawn)
        self._pair = batch, run.data.fetch(partner, view=1)
        return super().lessons(run, batch)

    def after_step(self, run: Run) -> None:
        """Release the images of this step."""
        self._pair = None

    def _answer(self, run: Run, batch: Batch) -> Output:
        # For other samples than the lesson's (the core's, to find shapes), the partner is the sample itself.
        partner = self._pair[1] if self._pair is not None and self._pair[0] is batch else batch
        with torch.no_grad():
            return run.see("student", partner)
