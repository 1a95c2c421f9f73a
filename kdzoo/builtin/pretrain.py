"""The algorithm with two phases: the knowledge alone first, then the task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from kdzoo.api import Algorithm, Batch, KdzooError, Phase, Run, Tune, softened_kl


class Pretrain(Algorithm):
    """Initialise the students by what they are taught, without labels; then train them on the task.

    Args:
        fraction: part of the recipe's epochs that the first phase takes; each phase has one epoch at least.
        task_weight: weight of the supervised loss in the second phase.
        teach_weight: weight of the knowledge in the second phase; 0 leaves it to the first.
        soft_weight: weight of KL(teacher || student) on logits in the second phase, for the role ``teacher``.
        temperature: of that divergence, which is multiplied by temperature².
    """

    name = "pretrain"
    needs_loop = "has two phases"
    reads_logits = False

    def __init__(
        self,
        fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        task_weight: NonNegativeFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 0.0,
        soft_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 0.0,
        temperature: PositiveFloat = 4.0,
    ) -> None:
        self.fraction = fraction
        self.task_weight = task_weight
        self.teach_weight = teach_weight
        self.soft_weight = soft_weight
        self.temperature = temperature

    def phases(self, run: Run) -> Iterator[Phase]:
        """``pretrain``, then ``distill``; both go over the training split."""
        epochs = run.recipe.epochs
        if epochs < 2:
            raise KdzooError("algorithm 'pretrain' has two phases and needs at least --epochs 2")
        first = min(max(1, round(self.fraction * epochs)), epochs - 1)

        def pretrain(batch: Batch) -> Mapping[str, Tensor]:
            teach = run.teach(batch)
            run.update(teach, *run.students, "knowledge")
            return {"teach": teach}

        def distill(batch: Batch) -> Mapping[str, Tensor]:
            teach = run.teach(batch) if self.teach_weight else None
            task = torch.stack([run.task(role, batch) for role in run.students]).sum()
            recorded = {"task": task}
            total = self.task_weight * task
            if teach is not None:
                recorded["teach"] = teach
                total = total + self.teach_weight * teach
            if self.soft_weight:
                teacher = run.see("teacher", batch).logits.detach()
                recorded["soft"] = torch.stack(
                    [
                        softened_kl(run.see(role, batch).logits, teacher, self.temperature, reduction="mean")
                        for role in run.students
                    ]
                ).sum()
                total = total + self.soft_weight * recorded["soft"]
            run.update(total, *run.students, "knowledge")
            return recorded

        yield Phase("pretrain", run.data.train, pretrain, first)
        yield Phase("distill", run.data.train, distill, epochs - first)
