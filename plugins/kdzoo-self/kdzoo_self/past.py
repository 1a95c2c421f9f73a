"""A student that learns from its past predictions: Kim, Ji, Yoon and Hwang 2021."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from kdzoo.api import Batch, Lesson, Output, Run, Scheme, refuse_mixing

TABLE = "own-past/logits"


class OwnPast(Scheme):
    """The student learns from the logits that it gave for the same sample one epoch ago.

    The target of a sample that it has not seen yet is its own current output, which gives no gradient. The
    memory is a table (rows, K) in the run's state and so in the checkpoint.
    """

    name = "own-past"
    kind = "self"

    def __init__(self) -> None:
        self._seen: tuple[Tensor, Tensor] | None = None

    def enroll(self, run: Run) -> None:
        """Enroll the student, and its past logits as a derived teacher."""
        refuse_mixing(run, "scheme 'own-past' remembers the last prediction for each image")
        run.enroll("student", run.build("student"))
        run.derive("past", lambda batch: self._look_up(run, batch))

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """From the past logits to the student."""
        return [("student", "past")]

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """One lesson; the student's logits are kept for :meth:`after_step`."""
        self._seen = batch.index, run.see("student", batch).logits.detach()
        return super().lessons(run, batch)

    def after_step(self, run: Run) -> None:
        """Store the student's logits of this step."""
        if self._seen is not None:
            index, logits = self._seen
            _table(run, logits.shape[1])[index] = logits.float()
            self._seen = None

    def _look_up(self, run: Run, batch: Batch) -> Output:
        now = run.see("student", batch).logits.detach().float()
        past = _table(run, now.shape[1])[batch.index]
        return Output(torch.where(past.isnan(), now, past))


def _table(run: Run, classes: int) -> Tensor:
    """(rows, K), NaN where nothing is stored. Do not keep a reference: a resume replaces it."""
    if TABLE not in run.state:
        run.state[TABLE] = torch.full((len(run.data.labels), classes), torch.nan, device=run.device)
    table: Tensor = run.state[TABLE]
    return table
