"""A teacher that is trained beside its student: Mishra and Marr 2018, scheme A."""

from __future__ import annotations

from collections.abc import Iterable

from kdzoo.api import Run, Scheme


class Joint(Scheme):
    """An untrained teacher learns the task beside the student, and teaches it what it knows so far.

    The role ``teacher`` is the network that the recipe names for it, untrained.
    """

    name = "joint"
    kind = "online"

    def enroll(self, run: Run) -> None:
        """Enroll both as learners; the teacher under another name, for those called teacher come trained."""
        run.enroll("student", run.build("student"))
        run.enroll("teacher", run.build("master", like="teacher"))

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """The teacher teaches the student."""
        return [("student", "teacher")]
