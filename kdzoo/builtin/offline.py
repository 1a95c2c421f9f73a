"""The scheme in which a frozen teacher teaches one student."""

from __future__ import annotations

from collections.abc import Iterable

from kdzoo.api import Run, Scheme


class Offline(Scheme):
    """One frozen teacher, one student. Without a teacher in the recipe the student learns alone."""

    name = "offline"
    reads_logits = False
    kind = "offline"

    def enroll(self, run: Run) -> None:
        """Enroll the student, and the teacher if the recipe has one."""
        run.enroll("student", run.build("student"))
        if "teacher" in run.recipe.roles:
            run.enroll("teacher", run.build("teacher"), learns=False)

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """The teacher teaches the student."""
        return [("student", "teacher")] if "teacher" in run.recipe.roles else []
