"""What all schemes have in which whole networks learn together."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kdzoo.api import Run, Scheme

Count = Annotated[int, Field(ge=2)]


class Peers(Scheme):
    """Untrained networks that learn side by side: ``student``, which is exported, ``peer1``, ``peer2``, ...

    A recipe that names no network for the peers gives them the student's, with weights of their own.

    Args:
        peers: how many networks learn together, the student among them.
    """

    kind = "online"

    def __init__(self, peers: Count = 2) -> None:
        self.roles = ("student", *(f"peer{number}" for number in range(1, peers)))

    def enroll(self, run: Run) -> None:
        """Enroll every peer as a network that learns."""
        for role in self.roles:
            run.enroll(role, run.build(role, like=None if role == "student" else "student"))
