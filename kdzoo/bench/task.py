"""A task of a worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdzoo.api.observer import Job
from kdzoo.recipe.identity import Identity
from kdzoo.recipe.model import Recipe


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
