"""The base of schemes that weight several teachers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field
from torch import Tensor

from kdzoo.api import Batch, Lesson, Run, SeveralTeachers

Count = Annotated[int, Field(ge=2)]


class Teachers(SeveralTeachers):
    """``teacher1`` to ``teacherN``, frozen, and one student.

    A recipe can name each of them (``--set roles.teacher2=resnet34``). One that it does not name is the model
    of ``--teacher``, trained from another initialisation.

    Args:
        teachers: number of teachers.
    """

    def __init__(self, teachers: Count = 2) -> None:
        super().__init__(teachers)

    def logits(self, run: Run, batch: Batch) -> list[Tensor]:
        """(B, K) of each teacher."""
        return [run.see(role, batch).logits for role in self.roles]

    def weighted(self, weights: Iterable[Tensor | float]) -> list[Lesson]:
        """One lesson for each teacher."""
        return [Lesson("student", role, weight) for role, weight in zip(self.roles, weights, strict=True)]
