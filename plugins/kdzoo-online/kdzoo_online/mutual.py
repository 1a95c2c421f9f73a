"""Peers that teach each other: Zhang, Xiang, Hospedales and Lu 2018."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from typing import Annotated

from pydantic import Field

from kdzoo.api import Batch, Lesson, Run, Scheme


class Mutual(Scheme):
    """Untrained networks learn side by side, and each is taught by all the others.

    The roles are ``student``, which is exported, and ``peer1``, ``peer2``, ... A recipe that names no network
    for the peers gives them the student's, with weights of their own.

    Args:
        peers: how many networks learn together, the student among them.
    """

    name = "mutual"
    kind = "online"

    def __init__(self, peers: Annotated[int, Field(ge=2)] = 2) -> None:
        self.roles = ("student", *(f"peer{number}" for number in range(1, peers)))

    def enroll(self, run: Run) -> None:
        """Enroll every peer as a network that learns."""
        for role in self.roles:
            run.enroll(role, run.build(role, like=None if role == "student" else "student"))

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """Every ordered pair, so weighted that each peer is taught with a total weight of 1."""
        weight = 1 / (len(self.roles) - 1)
        return [Lesson(student, teacher, weight) for student, teacher in permutations(self.roles, 2)]
