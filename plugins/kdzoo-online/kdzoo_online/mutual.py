"""Peers that teach each other: Zhang, Xiang, Hospedales and Lu 2018."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

from kdzoo.api import Batch, Lesson, Run
from kdzoo_online.peers import Peers


class Mutual(Peers):
    """Untrained networks learn side by side, and each is taught by all the others.

    The roles are ``student``, which is exported, and ``peer1``, ``peer2``, ... A recipe that names no network
    for the peers gives them the student's, with weights of their own.
    """

    name = "mutual"

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """Every ordered pair of peers."""
        return permutations(self.roles, 2)

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """Every ordered pair, so weighted that each peer is taught with a total weight of 1."""
        weight = 1 / (len(self.roles) - 1)
        return [Lesson(student, teacher, weight) for student, teacher in self.arrows(run)]
