"""A hand-made teacher from the labels: Yuan, Tay, Li, Wang and Feng 2020."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field

from kdzoo.api import UNLABELLED, Batch, KdzooError, Output, Run, Scheme, refuse_mixing
from kdzoo_self.functional import virtual_logits


class VirtualTeacher(Scheme):
    """The student learns from a virtual teacher: always right, and uniform over the wrong classes.

    The target of a sample without a label is the student's own output, which gives no gradient.

    Args:
        correct: the teacher's probability of the label.
        form: the teacher's logits are log-probabilities (``paper``), or the probabilities themselves, as in
            the authors' code (``code``).
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
        """Enroll the student and the derived teacher."""
        refuse_mixing(run, "scheme 'virtual' makes its teacher from class ids")
        run.enroll("student", run.build("student"))
        run.derive("virtual", lambda batch: self._answer(run, batch))

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """From the virtual teacher to the student."""
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
