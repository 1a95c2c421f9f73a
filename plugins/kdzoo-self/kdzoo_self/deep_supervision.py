"""Training with a smaller task weight for the exits than for the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from kdzoo.api import Algorithm, Batch, Phase, Run, Tune


class DeepSupervision(Algorithm):
    """The student's task loss has weight 1, that of all other roles less; the distillation loss is added.

    Args:
        exit_task_weight: weight of the task loss of every role except ``student``.
        teach_weight: weight of the distillation loss, summed over the scheme's lessons.
    """

    name = "deep-supervision"
    needs_loop = ""

    def __init__(
        self,
        exit_task_weight: NonNegativeFloat = 0.9,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
    ) -> None:
        self.exit_task_weight = exit_task_weight
        self.teach_weight = teach_weight

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase over the training split."""

        def step(batch: Batch) -> Mapping[str, Tensor]:
            teach = run.teach(batch)
            task = torch.stack([self._weight(role) * run.task(role, batch) for role in run.students]).sum()
            run.update(task + self.teach_weight * teach, *run.students, "knowledge")
            return {"task": task, "teach": teach}

        yield Phase("distill", run.data.train, step, run.recipe.epochs)

    def _weight(self, role: str) -> float:
        return 1.0 if role == "student" else self.exit_task_weight
