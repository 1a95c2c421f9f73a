"""Every image twice, as training varies it and strongly varied: Jin, Wang and Lin 2023."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from kdzoo.api import Algorithm, AutoAugmentName, Batch, Phase, Run, Tune, refuse_mixing


class TwoViews(Algorithm):
    """Every step sees its images as the recipe varies them, and a second, strongly varied view of each.

    Each view goes through the networks as a batch of its own, and has a task loss and a distillation loss.

    Args:
        task_weight: weight of the supervised loss of each view.
        teach_weight: weight of the distillation loss of both views.
        weak_weight: times ``teach_weight``, that of the first view.
        strong_weight: times ``teach_weight``, that of the second view.
        strong: automatic augmentation of the second view, after another crop and flip.
    """

    name = "two-views"
    needs_loop = ""
    reads_logits = False
    needs_labels = False

    def __init__(
        self,
        task_weight: NonNegativeFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10, taught=True)] = 1.0,
        weak_weight: NonNegativeFloat = 1.0,
        strong_weight: NonNegativeFloat = 1.0,
        strong: AutoAugmentName = "fixmatch",
    ) -> None:
        self.task_weight = task_weight
        self.teach_weight = teach_weight
        self.weights = weak_weight, strong_weight
        self.strong = strong

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase over the training split."""
        refuse_mixing(run, "algorithm 'two-views' shows each image a second time")

        def step(batch: Batch) -> Mapping[str, Tensor]:
            second = run.data.fetch(batch.index, view=1, auto_augment=self.strong)
            tasks, teaches = [], []
            for view, weight in zip((batch, second), self.weights, strict=True):
                tasks += [run.task(role, view) for role in run.students]
                teaches.append(weight * run.teach(view))
            task, teach = torch.stack(tasks).sum(), torch.stack(teaches).sum()
            run.update(self.task_weight * task + self.teach_weight * teach, *run.students, "knowledge")
            return {"task": task, "teach": teach}

        yield Phase("distill", run.data.train, step, run.recipe.epochs)
