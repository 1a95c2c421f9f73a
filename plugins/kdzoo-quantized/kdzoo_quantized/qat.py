"""Quantization-aware distillation from a full-precision teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from kdzoo.api import Batch, Phase, Run, Tune
from kdzoo_quantized.quantizing import Quantizing
from kdzoo_quantized.student import Start, check, first_steps, quantize, split, take_teacher

Share = Annotated[float, Field(gt=0, lt=1)]


class QuantizationAware(Quantizing):
    """Train the student with quantized weights and activations and learned step sizes.

    The student minimises ``task_weight`` x task loss + ``teach_weight`` x distillation loss. A teacher that
    is trained too (scheme ``joint``) minimises ``teacher_weight`` x its own task loss.

    Args:
        start: ``scratch`` quantizes the student as built, untrained unless it has a checkpoint; ``float``
            first trains it in float with the same losses; ``teacher`` gives it the teacher's weights.
        float_share: fraction of the recipe's epochs for the first phase, with start=float.
        rate: learning rate of quantized training, as a multiple of the recipe's.
        task_weight: weight of the task loss.
        teach_weight: weight of the distillation loss.
        teacher_weight: weight of the task loss of a teacher that is trained.
    """

    name = "qat"
    needs_loop = "trains a quantized network in the student's place"

    def __init__(
        self,
        start: Start = "scratch",
        float_share: Share = 0.5,
        rate: PositiveFloat = 1.0,
        task_weight: NonNegativeFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
        teacher_weight: NonNegativeFloat = 1.0,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.start: Start = start
        self.float_share = float_share
        self.rate = rate
        self.task_weight = task_weight
        self.teach_weight = teach_weight
        self.teacher_weight = teacher_weight

    def phases(self, run: Run) -> Iterator[Phase]:
        """``float`` with that start, then ``qat``; both go over the training split."""
        check(run, self.name, self.precision, self.start)
        epochs = run.recipe.epochs
        if self.start == "float":
            first, epochs = split(epochs, (self.float_share, 1 - self.float_share))
            yield Phase("float", run.data.train, self._step(run, _nothing), first)
        elif self.start == "teacher":
            take_teacher(run, self.name)
        quantize(run, self.precision, self.rate)
        yield Phase("qat", run.data.train, self._step(run, lambda batch: first_steps(run, batch)), epochs)

    def _step(
        self, run: Run, seen: Callable[[Batch], AbstractContextManager[None]]
    ) -> Callable[[Batch], Mapping[str, Tensor]]:
        learners = run.students

        def step(batch: Batch) -> Mapping[str, Tensor]:
            with seen(batch):
                teach = run.teach(batch)
                run.see("student", batch)
            recorded = {"task": run.task("student", batch), "teach": teach}
            total = self.task_weight * recorded["task"] + self.teach_weight * teach
            if len(learners) > 1:
                others = [run.task(role, batch) for role in learners if role != "student"]
                recorded["teacher"] = torch.stack(others).sum()
                total = total + self.teacher_weight * recorded["teacher"]
            run.update(total, *learners, "knowledge")
            return recorded

        return step


def _nothing(batch: Batch) -> AbstractContextManager[None]:
    return nullcontext()
