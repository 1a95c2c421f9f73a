"""Images with large features: DAFL, Chen et al. 2019."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from kdzoo.api import Batch, Run
from kdzoo_data_free.functional.realism import activation_loss, balance_loss, one_hot_loss
from kdzoo_data_free.generative import Generative


class ExcitingImages(Generative):
    """A generator with losses on the teacher's confidence, class balance and features, without a BatchNorm term.

    Generator and student are updated in turn on the same images.

    Args:
        one_hot: weight of the cross-entropy with the teacher's prediction.
        entropy: weight of the negative entropy of the mean class probabilities, in nats.
        activation: weight of minus the teacher's mean absolute embedding.
        student_steps: student steps after each generator step, all on its images.

    """

    name = "dafl"
    fixed: ClassVar = {"betas": (0.9, 0.999)}

    def __init__(
        self,
        one_hot: NonNegativeFloat = 1.0,
        entropy: NonNegativeFloat = 5.0,
        activation: NonNegativeFloat = 0.1,
        steps: PositiveInt = 120,
        student_steps: PositiveInt = 1,
        **settings: Any,
    ) -> None:
        super().__init__(steps=steps, student_steps=student_steps, **settings)
        self.one_hot = one_hot
        self.entropy = entropy
        self.activation = activation

    def prepare(self, run: Run) -> None:
        """Tap the embedding."""
        if self.activation:
            run.tap("teacher", embedding=True)

    def judge(self, run: Run, batch: Batch) -> Mapping[str, tuple[float, Tensor]]:
        """Equation 6 of the paper."""
        teacher = run.see("teacher", batch)
        terms = {
            "one_hot": (self.one_hot, one_hot_loss(teacher.logits).mean()),
            "entropy": (self.entropy, balance_loss(teacher.logits)),
        }
        if self.activation:
            terms["activation"] = self.activation, activation_loss(teacher.embedded).mean()
        return terms
