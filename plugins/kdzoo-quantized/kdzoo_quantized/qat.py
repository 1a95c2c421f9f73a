"""Quantization-aware distillation from a full-precision teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from kdzoo.api import Algorithm, Batch, Phase, Run, Tune
from kdzoo_quantized.network import describe, sizes
from kdzoo_quantized.student import Bits, Precision, Start, check, first_steps, quantize, split, take_teacher

Share = Annotated[float, Field(gt=0, lt=1)]


class QuantizationAware(Algorithm):
    """Train the student with quantized weights and activations and learned step sizes.

    The student minimises ``task_weight`` x task loss + ``teach_weight`` x distillation loss. A teacher that
    is trained too (scheme ``joint``) minimises ``teacher_weight`` x its own task loss.

    Args:
        weight_bits: bits of each layer's weights; null keeps them in float.
        activation_bits: bits of each layer's input; null keeps it in float.
        first_last_bits: bits of both in the first and the last layer; null keeps these in float.
        per_channel: one weight step size per output channel; else one per layer.
        start: ``scratch`` quantizes the student as built, untrained unless it has a checkpoint; ``float``
            first trains it in float with the same losses; ``teacher`` gives it the teacher's weights.
        float_share: fraction of the recipe's epochs for the first phase, with start=float.
        rate: learning rate of quantized training, as a multiple of the recipe's.
        task_weight: weight of the task loss.
        teach_weight: weight of the distillation loss.
        teacher_weight: weight of the task loss of a teacher that is trained.
    """

    name = "qat"
    reads_teacher = True

    def __init__(
        self,
        weight_bits: Bits = 4,
        activation_bits: Bits = 4,
        first_last_bits: Bits = None,
        per_channel: bool = False,
        start: Start = "scratch",
        float_share: Share = 0.5,
        rate: PositiveFloat = 1.0,
        task_weight: NonNegativeFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
        teacher_weight: NonNegativeFloat = 1.0,
    ) -> None:
        self.precision = Precision(weight_bits, activation_bits, first_last_bits, per_channel)
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

    def measure(self, run: Run) -> Mapping[str, float]:
        """``size/student_bytes`` and ``size/float_bytes``: the storage size of the weights."""
        return {f"size/{name}": value for name, value in sizes(run.roles["student"]).items()}

    def export(self, run: Run, folder: Path) -> str:
        """A description of the quantization, for the student's card."""
        return describe(run.roles["student"])


def _nothing(batch: Batch) -> AbstractContextManager[None]:
    return nullcontext()
