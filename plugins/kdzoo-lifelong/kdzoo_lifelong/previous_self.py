"""The scheme in which the network from before a task is the teacher."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from kdzoo.api import Assembled, Backbone, Batch, KdzooError, Lesson, Output, Run, Scheme


class PreviousSelf(Scheme):
    """The teacher is ``previous``, the student at the end of the last task; there is none in the first task.

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
        """Enroll the student, which the algorithm replaces by one for the first classes, and ``known``."""
        run.enroll("student", run.build("student"))
        run.derive("known", lambda batch: _known(run, batch))

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """From ``previous`` to the student, from the second task on."""
        return [(self.taught, "previous")] if "previous" in run.roles else []

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """From ``previous`` to the student, from the second task on.

        Raises:
            KdzooError: the algorithm has no tasks: the student knows all classes from the start.

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
    """The student's output, restricted to the classes that ``previous`` has."""
    previous = run.roles["previous"]
    assert isinstance(previous, Backbone | Assembled)
    assert previous.label_names is not None
    run.tap("student", embedding=True)
    own = run.see("student", batch)
    return Output(own.logits[:, : len(previous.label_names)], (), own.embedding)
