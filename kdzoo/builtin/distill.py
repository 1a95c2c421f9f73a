"""The algorithm with one phase: task loss plus knowledge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from kdzoo.api import Algorithm, Backbone, Batch, Phase, Run, Tune


class Distill(Algorithm):
    """Every student minimises ``task_weight`` x its task loss + ``teach_weight`` x what it is taught.

    Args:
        task_weight: weight of the supervised loss.
        teach_weight: weight of the knowledge, summed over the scheme's lessons.
    """

    name = "distill"
    needs_loop = ""
    reads_logits = False
    needs_labels = False

    def __init__(
        self,
        task_weight: NonNegativeFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10, taught=True)] = 1.0,
    ) -> None:
        self.task_weight = task_weight
        self.teach_weight = teach_weight

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase over the training split."""

        def step(batch: Batch) -> Mapping[str, Tensor]:
            teach = run.teach(batch)
            task = torch.stack([self._task(run, role, batch) for role in run.students]).sum()
            run.update(self.task_weight * task + self.teach_weight * teach, *run.students, "knowledge")
            return {"task": task, "teach": teach}

        yield Phase("distill", run.data.train, step, run.recipe.epochs)

    def _task(self, run: Run, role: str, batch: Batch) -> Tensor:
        """The task loss; zero for a student without a classifier, where it has no weight."""
        network = run.roles[role]
        if not self.task_weight and isinstance(network, Backbone) and not network.num_classes:
            return torch.zeros((), device=run.device)
        return run.task(role, batch)
