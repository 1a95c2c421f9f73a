"""The base of schemes in which whole networks are trained together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from kdzoo.api import DeclaredRole, Run, Scheme

Count = Annotated[int, Field(ge=2)]


class Peers(Scheme):
    """Untrained networks that are trained together: ``student``, which is exported, ``peer1``, ``peer2``, ...

    If the recipe names no network for the peers, they have the student's, with another initialisation.

    Args:
        peers: number of networks, including the student.
    """

    kind = "online"

    def __init__(self, peers: Count = 2) -> None:
        self.roles = ("student", *(f"peer{number}" for number in range(1, peers)))

    def declared_roles(self) -> Iterable[DeclaredRole]:
        """Every peer but the student, like the student."""
        return [DeclaredRole(role, "learns with the student", like="student") for role in self.roles[1:]]

    def enroll(self, run: Run) -> None:
        """Enroll every peer as a trained network."""
        for role in self.roles:
            run.enroll(role, run.build(role, like=None if role == "student" else "student"))
