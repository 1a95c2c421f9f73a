"""Teachers weighted by the entropy of their predictions: Kwon, Na, Lee and Kim 2020."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kdzoo.api import Batch, Lesson, Run
from kdzoo_multi_teacher.functional import entropy_weights
from kdzoo_multi_teacher.teachers import Teachers


class EntropyWeighted(Teachers):
    """For each sample, a teacher with a low entropy has more weight. No label is used, so confident errors count too.

    Args:
        normalize: normalise the weights of a sample to sum 1; else they sum to M - 1.
    """

    name = "entropy-weighted"

    def __init__(self, normalize: bool = True, **settings: Any) -> None:
        super().__init__(**settings)
        self.normalize = normalize

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """One lesson from each teacher, with a weight for each sample."""
        return self.weighted(entropy_weights(self.logits(run, batch), normalize=self.normalize))
