"""A generator with all common objectives: Choi et al. 2020, Fang et al. 2019."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import NonNegativeFloat
from torch import Tensor

from kdzoo.api import Batch, Noise, Phase, Run
from kdzoo_data_free.functional.realism import activation_loss, adversarial_loss, balance_loss, one_hot_loss
from kdzoo_data_free.functional.statistics import statistics_loss
from kdzoo_data_free.generative import Generative
from kdzoo_data_free.statistics import BatchNormStatistics
from kdzoo_data_free.synthetic import refuse_without_teaching


class GeneratorDistillation(Generative):
    """The generator minimises a weighted sum; after each of its steps the student is trained on new images.

    Args:
        adversarial: weight of minus KL(teacher || student).
        statistics: weight of the distance from the teacher's BatchNorm statistics; 0 for a teacher without
            them.
        one_hot: weight of the cross-entropy with the teacher's prediction.
        balance: weight of the negative entropy of the mean class probabilities, in nats.
        activation: weight of minus the teacher's mean absolute embedding.
        source: ``noise`` trains the student on uniform noise instead of generated images: the control.
        student_steps: student steps after each generator step, each on new images.

    """

    name = "generative"
    fixed: ClassVar = {"fresh": True}

    def __init__(
        self,
        adversarial: NonNegativeFloat = 1.0,
        statistics: NonNegativeFloat = 1.0,
        one_hot: NonNegativeFloat = 1.0,
        balance: NonNegativeFloat = 5.0,
        activation: NonNegativeFloat = 0.0,
        source: Literal["generator", "noise"] = "generator",
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.adversarial = adversarial
        self.statistics = statistics
        self.one_hot = one_hot
        self.balance = balance
        self.activation = activation
        self.source = source

    def prepare(self, run: Run) -> None:
        """Find the BatchNorm layers; tap the embedding."""
        if self.statistics:
            self.layers = BatchNormStatistics(
                run.roles["teacher"],
                name=f"teacher {run.recipe.roles['teacher'].model!r}",
                needed_by=f"algorithm {self.name!r}",
                instead="set algorithm.statistics to 0, or take a convolutional teacher with BatchNorm",
            )
        if self.activation:
            run.tap("teacher", embedding=True)

    def judge(self, run: Run, batch: Batch) -> Mapping[str, tuple[float, Tensor]]:
        """The terms with a non-zero weight."""
        if self.statistics:
            with self.layers.reading() as found:
                teacher = run.see("teacher", batch)
        else:
            found, teacher = [], run.see("teacher", batch)
        terms: dict[str, tuple[float, Tensor]] = {}
        if self.one_hot:
            terms["one_hot"] = self.one_hot, one_hot_loss(teacher.logits).mean()
        if self.balance:
            terms["balance"] = self.balance, balance_loss(teacher.logits)
        if self.activation:
            terms["activation"] = self.activation, activation_loss(teacher.embedded).mean()
        if self.statistics:
            pairs = [(one.mean, one.var, one.running_mean, one.running_var) for one in found]
            terms["statistics"] = self.statistics, statistics_loss(pairs)
        if self.adversarial:
            gap = adversarial_loss(run.see("student", batch).logits, teacher.logits)
            terms["adversarial"] = self.adversarial, gap.mean()
        return terms

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase; on noise if that is the source."""
        if self.source == "generator":
            yield from super().phases(run)
            return
        refuse_without_teaching(run, self.name)

        def step(batch: Batch) -> Mapping[str, Tensor]:
            teach = run.teach(batch)
            run.update(teach, *run.students, "knowledge")
            return {"teach": teach}

        yield Phase(
            "noise", Noise(run, self.making.steps * self.making.student_steps), step, run.recipe.epochs
        )
