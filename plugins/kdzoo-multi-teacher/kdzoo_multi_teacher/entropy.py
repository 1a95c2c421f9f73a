"""Teachers weighed by how sure they are: Kwon, Na, Lee and Kim 2020."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kdzoo.api import Batch, Lesson, Run
from kdzoo_multi_teacher.functional import entropy_weights
from kdzoo_multi_teacher.teachers import Teachers


class EntropyWeighted(Teachers):
    """For each sample, a teacher with a low entropy counts more. It needs no label, and trusts confident errors.

    Args:
        normalize: let the weights of a sample sum to 1; else they sum to M - 1.
    """

    name = "entropy-weighted"

    def __init__(self, normalize: bool = True, **settings: Any) -> None:
        super().__init__(**settings)
        self.normalize = normalize

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """One lesson of each teacher, weighed for each sample."""
        return self.weighed(entropy_weights(self.logits(run, batch), normalize=self.normalize))
