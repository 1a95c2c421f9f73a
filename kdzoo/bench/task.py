"""One thing for a worker to do."""

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
        key: names the task within its plan; two tasks with equal keys are the same run.
        recipe: a resolved recipe.
        folder: of the run; for a teacher, whose run is in the teacher cache, where its error goes.
        job: what the run is for.
        identity: what decides its numbers.
        epochs: how long it takes, in epochs; for the estimate of the time left.
        teaches: the role whose network shall be put in the teacher cache, trained as this recipe would have it
            trained; None = run the recipe itself.
        after: keys of the tasks whose results it needs.
    """

    key: str
    recipe: Recipe
    folder: Path
    job: Job
    identity: Identity
    epochs: int
    teaches: str | None = None
    after: frozenset[str] = frozenset()
