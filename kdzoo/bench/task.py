"""A task of a worker."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kdzoo.api.observer import Job
from kdzoo.recipe.identity import Identity
from kdzoo.recipe.model import Recipe

ERROR_FILE = "error.txt"
"""The file in a failed run's folder with the traceback of its last attempt."""


@dataclass(frozen=True)
class Task:
    """A run to be done by a worker.

    Attributes:
        key: identifies the task in its plan; tasks with equal keys are the same run.
        recipe: a resolved recipe.
        folder: the run's folder; for a teacher, whose run is in the teacher cache, the folder for its error.
        job: the run's job.
        identity: what determines its numbers.
        epochs: its length in epochs, for the estimate of the time left.
        teaches: the role whose network is trained for the teacher cache, as this recipe needs it; None runs
            the recipe itself.
        after: keys of the tasks that must be done before.
        tests: whether the run may read the test split.
        shares: equal in tasks that ask their frozen teachers the same, so that one can replay the other's answers;
            empty where none are kept.
        embeddings: whether it asks for embeddings too, and not for logits alone.
    """

    key: str
    recipe: Recipe
    folder: Path
    job: Job
    identity: Identity
    epochs: int
    teaches: str | None = None
    after: frozenset[str] = frozenset()
    tests: bool = True
    shares: str = ""
    embeddings: bool = False


def leave_error(task: Task, error: str | None, traceback: str) -> None:
    """Write why the task failed into its folder; remove what is there if it did not."""
    place = task.folder / ERROR_FILE
    if error is None:
        place.unlink(missing_ok=True)
        return
    with suppress(OSError):  # a full disk may be the cause of the failure; the ledger has the error
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{error}\n\n{traceback}", encoding="utf-8")
