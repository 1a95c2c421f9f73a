"""How much a run does, so that methods with equal epochs and unequal work can be told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kdzoo.api.batch import Batch, Output
from kdzoo.api.run import Run
from kdzoo.engine.listeners import Listener

if TYPE_CHECKING:
    from kdzoo.engine.roster import Roster


class Work(Listener):
    """Counts in the steps of this process; checkpoints have the counts.

    Attributes:
        counts: ``student_updates``, ``student_images`` and ``teacher_images``: updates of the student, images that it
            and frozen networks were given.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self.counts: Counter[str] = Counter()

    def seen(self, run: Run, role: str, batch: Batch, output: Output) -> None:
        """Count the images of a network, unless they are only evaluated."""
        member = self._roster.members.get(role)
        if member is not None and torch.is_grad_enabled():
            if role == "student":
                self.counts["student_images"] += len(batch)
            elif not member.learns:
                self.counts["teacher_images"] += len(batch)

    def updated(self, run: Run, loss: Tensor, roles: Sequence[str]) -> None:
        """Count an update of the student."""
        self.counts["student_updates"] += "student" in roles
