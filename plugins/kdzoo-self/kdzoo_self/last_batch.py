"""Distillation from the last mini-batch: Shen, Xu, Yang, Li and Guo 2022."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from kdzoo.api import Algorithm, Batch, Phase, Run, Tune, refuse_mixing, softened_kl

INDEX, LOGITS = "last-batch/index", "last-batch/logits"


class LastBatch(Algorithm):
    """Every step also processes the previous batch, with another augmentation.

    Both halves have a task loss; the second also learns from the network's logits of the previous step. Every
    student has its own memory. The scheme's distillation loss, if any, applies to both halves.

    Args:
        alpha: weight of KL(previous || current) on the previous batch, which is multiplied by temperature².
        temperature: divides the logits of both steps.
        teach_weight: weight of the distillation loss, if the recipe has a knowledge.
    """

    name = "last-batch"
    needs_loop = ""

    def __init__(
        self,
        alpha: NonNegativeFloat = 1.0,
        temperature: PositiveFloat = 3.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
    ) -> None:
        self.alpha = alpha
        self.temperature = temperature
        self.teach_weight = teach_weight

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase over the training split."""
        refuse_mixing(run, "algorithm 'last-batch' repeats each batch with another augmentation")

        def step(batch: Batch) -> Mapping[str, Tensor]:
            joint = self._join(run, batch)
            teach = run.teach(joint)
            task = torch.stack([run.task(role, joint) for role in run.students]).sum()
            last = torch.stack([self._last(run, role, joint, len(batch)) for role in run.students]).sum()
            answers = {role: run.see(role, joint).logits[: len(batch)].detach() for role in run.students}
            run.update(task + self.alpha * last + self.teach_weight * teach, *run.students, "knowledge")
            run.state[INDEX] = batch.index.clone()
            run.state |= {f"{LOGITS}/{role}": logits.clone() for role, logits in answers.items()}
            return {"task": task, "last": last, "teach": teach}

        yield Phase("distill", run.data.train, step, run.recipe.epochs)

    def _join(self, run: Run, batch: Batch) -> Batch:
        """The batch followed by the previous one with a new augmentation; at the first step, the batch alone."""
        if INDEX not in run.state:
            return batch
        last = run.data.fetch(run.state[INDEX], view=1)
        inputs = {name: torch.cat([images, last.inputs[name]]) for name, images in batch.inputs.items()}
        target = None
        if batch.target is not None and last.target is not None:
            target = torch.cat([batch.target, last.target])
        return Batch(torch.cat([batch.index, last.index]), inputs, target, batch.progress)

    def _last(self, run: Run, role: str, joint: Batch, size: int) -> Tensor:
        """The divergence of the second half's predictions from those of the previous step, a scalar."""
        now = run.see(role, joint).logits[size:]
        if not len(now):
            return torch.zeros((), device=run.device)
        return softened_kl(now, run.state[f"{LOGITS}/{role}"], self.temperature, reduction="mean")
