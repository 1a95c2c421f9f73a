"""The base of schemes with several teachers: their roles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field
from torch import Tensor

from kdzoo.api import Batch, Lesson, Run, Scheme

Count = Annotated[int, Field(ge=2)]


class Teachers(Scheme):
    """``teacher1`` to ``teacherN``, frozen, and one student.

    A recipe can name each of them (``--set roles.teacher2=resnet34``). One that it does not name is the model
    of ``--teacher``, trained from another initialisation.

    Args:
        teachers: number of teachers.
    """

    kind = "offline"

    def __init__(self, teachers: Count = 2) -> None:
        self.roles = tuple(f"teacher{number}" for number in range(1, teachers + 1))

    def enroll(self, run: Run) -> None:
        """Enroll the student and every teacher."""
        run.enroll("student", run.build("student"))
        for role in self.roles:
            run.enroll(role, run.build(role, like="teacher"), learns=False)

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """From every teacher to the student."""
        return [("student", role) for role in self.roles]

    def logits(self, run: Run, batch: Batch) -> list[Tensor]:
        """(B, K) of each teacher."""
        return [run.see(role, batch).logits for role in self.roles]

    def weighted(self, weights: Iterable[Tensor | float]) -> list[Lesson]:
        """One lesson for each teacher."""
        return [Lesson("student", role, weight) for role, weight in zip(self.roles, weights, strict=True)]
