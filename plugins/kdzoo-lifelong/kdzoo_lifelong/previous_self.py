"""The scheme in which the network that knew the earlier classes teaches the one that learns new ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from kdzoo.api import Assembled, Backbone, Batch, KdzooError, Lesson, Output, Run, Scheme


class PreviousSelf(Scheme):
    """The role ``previous``, the student as it was when the last task ended, teaches; in the first task nobody.

    Args:
        taught: ``known``: the student's logits of the classes that ``previous`` knows, and its embedding, for
            knowledge on logits, embeddings or their relations; ``student``: the whole student, for knowledge on
            feature maps.
    """

    name = "previous-self"
    kind = "self"

    def __init__(self, taught: Literal["known", "student"] = "known") -> None:
        self.taught = taught

    def enroll(self, run: Run) -> None:
        """Enroll the student, which the algorithm replaces by one for the first classes, and what it knows."""
        run.enroll("student", run.build("student"))
        run.derive("known", lambda batch: _known(run, batch))

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """``previous`` teaches, once there is one."""
        return [(self.taught, "previous")] if "previous" in run.roles else []

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """``previous`` teaches, once there is one.

        Raises:
            KdzooError: there never will be: the student knows every class from the beginning.

        """
        if "previous" in run.roles:
            return [Lesson(self.taught, "previous")]
        if getattr(run.roles["student"], "label_names", None) == tuple(run.data.classes):
            raise KdzooError(
                "scheme 'previous-self' teaches from one task to the next, and here all classes come at once: take "
                "--algorithm lifelong with algorithm.tasks=2 or more, or --method lwf"
            )
        return []


def _known(run: Run, batch: Batch) -> Output:
    """The student's answer, cut to the classes that ``previous`` has."""
    previous = run.roles["previous"]
    assert isinstance(previous, Backbone | Assembled)
    assert previous.label_names is not None
    run.tap("student", embedding=True)
    own = run.see("student", batch)
    return Output(own.logits[:, : len(previous.label_names)], (), own.embedding)
