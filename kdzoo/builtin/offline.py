"""The scheme in which a frozen teacher teaches one student."""

from __future__ import annotations

from collections.abc import Iterable

from kdzoo.api import DeclaredRole, KdzooError, Run, Scheme


class Offline(Scheme):
    """One frozen teacher, one student. Without knowledge and teacher the student learns alone."""

    name = "offline"
    reads_logits = False
    kind = "offline"

    def declared_roles(self) -> Iterable[DeclaredRole]:
        """The teacher, which is needed where something is taught."""
        return [DeclaredRole("teacher", "frozen; teaches the student", optional=True)]

    def enroll(self, run: Run) -> None:
        """Enroll the student, and the teacher if the recipe has one."""
        if run.recipe.knowledge and "teacher" not in run.recipe.roles:
            names = " and ".join(repr(one.name) for one in run.recipe.knowledge)
            raise KdzooError(f"knowledge {names} needs a teacher: pass --teacher MODEL")
        run.enroll("student", run.build("student"))
        if "teacher" in run.recipe.roles:
            run.enroll("teacher", run.build("teacher"), learns=False)

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """The teacher teaches the student."""
        return [("student", "teacher")] if "teacher" in run.recipe.roles else []
