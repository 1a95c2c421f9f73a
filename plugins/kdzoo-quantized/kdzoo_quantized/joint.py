"""A teacher that is trained together with its student: Mishra and Marr 2018, scheme A."""

from __future__ import annotations

from collections.abc import Iterable

from kdzoo.api import DeclaredRole, Run, Scheme


class Joint(Scheme):
    """An untrained teacher is trained on the task together with the student, which learns from it.

    The role ``teacher`` is the network that the recipe names for it, untrained.
    """

    name = "joint"
    kind = "online"

    def declared_roles(self) -> Iterable[DeclaredRole]:
        """The teacher."""
        return [DeclaredRole("teacher", "trained together with the student")]

    def enroll(self, run: Run) -> None:
        """Enroll both for training; the teacher under another name, since a role named teacher is never untrained."""
        run.enroll("student", run.build("student"))
        run.enroll("teacher", run.build("master", like="teacher"))

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """From the teacher to the student."""
        return [("student", "teacher")]
