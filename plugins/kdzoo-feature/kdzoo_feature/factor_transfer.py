"""The two phases of factor transfer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from kdzoo.api import Algorithm, Batch, KdzooError, Phase, Run, Tune
from kdzoo_feature.ft import PART, FactorTransfer


class FactorTransferPhases(Algorithm):
    """Train the paraphraser on the teacher's map, without labels; then train the students on its factors.

    Args:
        fraction: fraction of the recipe's epochs for the paraphraser; each phase has at least one epoch.
        task_weight: weight of the task loss in the second phase.
        teach_weight: weight of the distance of the factors in the second phase.
    """

    name = "factor-transfer"
    needs_loop = "has two phases"

    def __init__(
        self,
        fraction: Annotated[float, Field(gt=0, lt=1)] = 0.15,
        task_weight: NonNegativeFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 500.0,
    ) -> None:
        self.fraction = fraction
        self.task_weight = task_weight
        self.teach_weight = teach_weight

    def phases(self, run: Run) -> Iterator[Phase]:
        """``paraphrase``, then ``transfer``; both go over the training split."""
        names, epochs = [one.name for one in run.recipe.knowledge], run.recipe.epochs
        if names != [FactorTransfer.name]:
            named = " + ".join(map(repr, names)) or "none"
            raise KdzooError(
                f"algorithm {self.name!r} trains the paraphraser of the knowledge {FactorTransfer.name!r} first, "
                f"and the recipe's knowledge is {named}: take --algorithm distill or --algorithm pretrain"
            )
        if epochs < 2:
            raise KdzooError(f"algorithm {self.name!r} has two phases and needs at least --epochs 2")
        first = min(max(1, round(self.fraction * epochs)), epochs - 1)

        def paraphrase(batch: Batch) -> Mapping[str, Tensor]:
            rebuilding = run.teach(batch)
            run.update(rebuilding, "knowledge")
            return {"rebuilding": rebuilding}

        def transfer(batch: Batch) -> Mapping[str, Tensor]:
            task = torch.stack([run.task(role, batch) for role in run.students]).sum()
            teach = run.teach(batch)
            run.update(self.task_weight * task + self.teach_weight * teach, *run.students, "knowledge")
            return {"task": task, "teach": teach}

        run.state[PART] = "paraphrase"
        yield Phase("paraphrase", run.data.train, paraphrase, first)
        run.state[PART] = "transfer"
        yield Phase("transfer", run.data.train, transfer, epochs - first)
