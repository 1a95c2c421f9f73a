"""Peers that learn from each other: Zhang, Xiang, Hospedales and Lu 2018."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

from kdzoo.api import Batch, Lesson, Run
from kdzoo_online.peers import Peers


class Mutual(Peers):
    """Untrained networks are trained together, and each learns from all the others.

    The roles are ``student``, which is exported, and ``peer1``, ``peer2``, ... If the recipe names no network
    for the peers, they have the student's, with another initialisation.
    """

    name = "mutual"

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """Every ordered pair of peers."""
        return permutations(self.roles, 2)

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """Every ordered pair, weighted so that the weights sum to 1 for each peer."""
        weight = 1 / (len(self.roles) - 1)
        return [Lesson(student, teacher, weight) for student, teacher in self.arrows(run)]
