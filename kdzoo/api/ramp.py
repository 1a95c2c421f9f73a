"""A weight that changes over a phase, as a function of ``batch.progress``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from kdzoo.api.options import choice


@dataclass(frozen=True)
class Ramp:
    """From ``start`` to ``end`` while the progress goes from ``begin`` to ``until``; constant outside.

    Attributes:
        start: the value up to ``begin``.
        end: the value from ``until`` on.
        begin: progress in [0, 1] at which the change begins.
        until: progress in [0, 1] at which it is complete.
        shape: ``linear``, ``cosine`` (half a period) or ``sigmoid`` (exp(-5 (1 - t)²), Laine & Aila 2017).
    """

    start: float = 0.0
    end: float = 1.0
    begin: float = 0.0
    until: float = 1.0
    shape: Literal["linear", "cosine", "sigmoid"] = "linear"

    def __post_init__(self) -> None:
        choice("shape", self.shape, ("linear", "cosine", "sigmoid"))
        if not 0.0 <= self.begin <= self.until <= 1.0:
            raise ValueError(f"a ramp needs 0 <= begin <= until <= 1, not {self.begin} and {self.until}")

    def __call__(self, progress: float) -> float:
        """The value at ``progress`` in [0, 1]."""
        if progress >= self.until:
            return self.end
        if progress <= self.begin:
            return self.start
        t = (progress - self.begin) / (self.until - self.begin)
        if self.shape == "cosine":
            t = (1 - math.cos(math.pi * t)) / 2
        elif self.shape == "sigmoid":
            t = math.exp(-5 * (1 - t) ** 2)
        return self.start + (self.end - self.start) * t
