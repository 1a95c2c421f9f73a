"""Distillation of each class's sigmoid: Rebuffi, Kolesnikov, Sperl and Lampert 2017."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output
from kdzoo_lifelong.functional import sigmoid_distillation


class OldSigmoids(Knowledge):
    """Binary cross-entropy of each class with the teacher's sigmoid, summed over the classes."""

    name = "old-sigmoids"
    kind: ClassVar[Literal["response", "feature", "relation"]] = "response"

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; the labels are not used."""
        return sigmoid_distillation(student.logits, teacher.logits, reduction="none")
