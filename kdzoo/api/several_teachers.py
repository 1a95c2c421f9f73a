"""The base of schemes with several frozen teachers."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import PositiveInt

from kdzoo.api.declared import DeclaredRole
from kdzoo.api.run import Run
from kdzoo.api.scheme import Scheme


class SeveralTeachers(Scheme):
    """``teacher1`` to ``teacherN``, frozen, each with an arrow to one student.

    A recipe can name each of them (``--set roles.teacher2=resnet34``). One that it does not name is the model of
    ``--teacher``, trained from another initialisation; if all are named, ``--teacher`` is not needed.

    Args:
        teachers: number of teachers.

    Attributes:
        roles: the teachers' roles.
    """

    kind = "offline"

    def __init__(self, teachers: PositiveInt = 2) -> None:
        self.roles = tuple(f"teacher{number}" for number in range(1, teachers + 1))

    def declared_roles(self) -> Iterable[DeclaredRole]:
        """Every teacher, like ``teacher``."""
        return [DeclaredRole(role, "frozen; teaches the student", like="teacher") for role in self.roles]

    def enroll(self, run: Run) -> None:
        """Enroll the student and every teacher."""
        run.enroll("student", run.build("student"))
        for role in self.roles:
            run.enroll(role, run.build(role, like="teacher"), learns=False)

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """From every teacher to the student."""
        return [("student", role) for role in self.roles]
