"""Training in which weight moves from the task loss to the distillation loss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from kdzoo.api import Algorithm, Batch, Phase, Ramp, Run


class GrowingTrust(Algorithm):
    """(1 - alpha) x task loss + alpha x distillation loss; alpha grows from epoch to epoch.

    It is 0 in the first epoch, where there is no past prediction, and ``alpha`` x t / E in epoch t of E.

    Args:
        alpha: its value in the last epoch.
    """

    name = "growing-trust"
    needs_loop = ""

    def __init__(self, alpha: Annotated[float, Field(ge=0, le=1)] = 0.8) -> None:
        self.alpha = Ramp(0.0, alpha)

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase over the training split."""
        epochs = run.recipe.epochs

        def step(batch: Batch) -> Mapping[str, Tensor]:
            alpha = self.share(batch.progress, epochs)
            teach = run.teach(batch)
            task = torch.stack([run.task(role, batch) for role in run.students]).sum()
            run.update((1 - alpha) * task + alpha * teach, *run.students, "knowledge")
            return {"task": task, "teach": teach}

        yield Phase("distill", run.data.train, step, epochs)

    def share(self, progress: float, epochs: int) -> float:
        """The weight of the distillation loss in the current epoch.

        Args:
            progress: progress of the phase, in [0, 1).
            epochs: number of epochs of the phase.

        """
        before = math.floor(progress * epochs + 1e-9)  # the epsilon absorbs rounding of the division
        return self.alpha((before + 1) / epochs) if before else 0.0
