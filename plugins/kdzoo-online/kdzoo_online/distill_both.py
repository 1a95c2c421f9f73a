"""Distillation that also trains the teachers' side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from kdzoo.api import Algorithm, Batch, Phase, Run, Tune


class DistillBoth(Algorithm):
    """Like ``distill``, but the distillation loss also has a gradient for the teachers, and updates them.

    For schemes that compute their teachers with trainable modules, and detach what must be constant
    themselves. With a scheme whose teachers are students, both sides move towards each other.

    Args:
        task_weight: weight of the task loss.
        teach_weight: weight of the distillation loss, summed over the scheme's lessons.
    """

    name = "distill-both"
    needs_loop = ""

    def __init__(
        self,
        task_weight: NonNegativeFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
    ) -> None:
        self.task_weight = task_weight
        self.teach_weight = teach_weight

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase over the training split."""
        learners = [
            role
            for role, module in run.roles.items()
            if any(parameter.requires_grad for parameter in module.parameters())
        ]

        def step(batch: Batch) -> Mapping[str, Tensor]:
            teach = run.teach(batch, detach=False)
            task = torch.stack([run.task(role, batch) for role in run.students]).sum()
            run.update(self.task_weight * task + self.teach_weight * teach, *learners, "knowledge")
            return {"task": task, "teach": teach}

        yield Phase("distill", run.data.train, step, run.recipe.epochs)
