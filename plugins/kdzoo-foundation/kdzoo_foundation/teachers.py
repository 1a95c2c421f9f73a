"""The scheme of several foreign teachers and one student."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from kdzoo.api import Run, Scheme


class Agglomeration(Scheme):
    """``teacher1`` to ``teacherN``, frozen, of any architectures, sizes and normalisations, and one student.

    Each is named by the recipe (``--set roles.teacher2=...``), or is the model of ``--teacher``.

    Args:
        teachers: number of teachers.
    """

    name = "agglomerate"
    kind = "offline"
    reads_logits = False

    def __init__(self, teachers: Annotated[int, Field(ge=1)] = 2) -> None:
        self.roles = tuple(f"teacher{number}" for number in range(1, teachers + 1))

    def enroll(self, run: Run) -> None:
        """Enroll the student and every teacher."""
        run.enroll("student", run.build("student"))
        for role in self.roles:
            run.enroll(role, run.build(role, like="teacher"), learns=False)

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """From every teacher to the student, for a recipe with a knowledge."""
        return [("student", role) for role in self.roles]
