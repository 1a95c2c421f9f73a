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
    """(1 - alpha) x task loss + alpha x distillation loss; alpha grows from 0, epoch by epoch.

    Args:
        alpha: the value that it would reach at the end of the last epoch.
    """

    name = "growing-trust"

    def __init__(self, alpha: Annotated[float, Field(ge=0, le=1)] = 0.8) -> None:
        self.alpha = Ramp(0.0, alpha)

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase over the training split."""
        epochs = run.recipe.epochs

        def step(batch: Batch) -> Mapping[str, Tensor]:
            alpha = self.alpha(_epoch_began(batch.progress, epochs))
            teach = run.teach(batch)
            task = torch.stack([run.task(role, batch) for role in run.students]).sum()
            run.update((1 - alpha) * task + alpha * teach, *run.students, "knowledge")
            return {"task": task, "teach": teach}

        yield Phase("distill", run.data.train, step, epochs)


def _epoch_began(progress: float, epochs: int) -> float:
    """The progress at the start of the current epoch; a tiny epsilon absorbs rounding of the division."""
    return math.floor(progress * epochs + 1e-9) / epochs
