"""A teacher made by hand from the labels: Yuan, Tay, Li, Wang and Feng 2020."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field

from kdzoo.api import UNLABELLED, Batch, KdzooError, Output, Run, Scheme, refuse_mixing
from kdzoo_self.functional import virtual_logits


class VirtualTeacher(Scheme):
    """The student learns from a teacher that is always right, and that finds all wrong classes alike.

    A sample whose label is withheld is taught the student's own answer, which teaches nothing.

    Args:
        correct: the probability that it gives the label.
        form: ``paper`` softens these probabilities by temperature; ``code`` divides the probabilities
            themselves by it before the softmax, as the authors' code does.
    """

    name = "virtual"
    kind = "self"

    def __init__(
        self,
        correct: Annotated[float, Field(gt=0, lt=1)] = 0.99,
        form: Literal["paper", "code"] = "paper",
    ) -> None:
        self.correct = correct
        self.form: Literal["paper", "code"] = form

    def enroll(self, run: Run) -> None:
        """Enroll the student, and the teacher as a computation."""
        refuse_mixing(run, "scheme 'virtual' makes its teacher from class ids")
        run.enroll("student", run.build("student"))
        run.derive("virtual", lambda batch: self._answer(run, batch))

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """The virtual teacher teaches the student."""
        return [("student", "virtual")]

    def _answer(self, run: Run, batch: Batch) -> Output:
        if batch.target is None:
            raise KdzooError(
                "scheme 'virtual' makes its teacher from class ids, and these batches have none: take data with "
                "labels"
            )
        own = run.see("student", batch).logits.detach().float()
        made = virtual_logits(batch.target.clamp(min=0), own.shape[1], correct=self.correct, form=self.form)
        return Output(torch.where((batch.target == UNLABELLED).unsqueeze(1), own, made))
