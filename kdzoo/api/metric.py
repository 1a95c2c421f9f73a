"""A figure of the student on the test split, the same for every method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor


class Metric(ABC):
    """A figure over the test split, which every run has as ``test/NAME`` while the plugin is installed.

    A new instance is made for each run. It is given every labelled sample of the split once, in the main process.
    """

    name: ClassVar[str]

    exempt: ClassVar[Mapping[str, str]] = {}
    """``check`` or ``check:item`` of the conformance kit -> the reason why this component is exempt from it."""

    def begin(self, classes: Sequence[str]) -> None:
        """Called once, before the first update, with the class names in the order of their ids."""

    @abstractmethod
    def update(self, logits: Tensor, target: Tensor) -> None:
        """Take some samples.

        Args:
            logits: (n, K) float32 on the CPU, in the order of the classes; -inf for a class that the student lacks.
            target: (n,) int64 class ids.
        """

    @abstractmethod
    def compute(self) -> float:
        """The figure."""


class WrappedMetric(Metric):
    """A metric of another library, such as torchmetrics, with ``update(logits, target)`` and ``compute()``."""

    @abstractmethod
    def make(self, classes: int) -> Any:
        """The object, such as ``torchmetrics.classification.MulticlassCohenKappa(classes)``."""

    def begin(self, classes: Sequence[str]) -> None:
        """Make it."""
        self.wrapped = self.make(len(classes))

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Pass the samples on."""
        self.wrapped.update(logits, target)

    def compute(self) -> float:
        """Its figure, a number or a tensor with one element."""
        return float(self.wrapped.compute())
