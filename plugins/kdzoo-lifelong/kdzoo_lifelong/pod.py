"""Pooled outputs distillation: Douillard, Cord, Ollion, Robert and Valle 2020."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat
from torch import Tensor

from kdzoo.api import Batch, KdzooError, Knowledge, Output, Run, Taps
from kdzoo_lifelong.functional import pod_flat_loss, pod_spatial_loss


class Pod(Knowledge):
    """Distances of feature maps, summed along each of their sides, and of the embedding.

    Args:
        stages: the compared stages; -1 is the deepest.
        spatial: weight of the maps' distance.
        flat: weight of the embedding's distance.
    """

    name = "pod"
    kind: ClassVar[Literal["response", "feature", "relation"]] = "feature"

    def __init__(
        self,
        stages: Annotated[tuple[Annotated[int, Field(le=-1)], ...], Field(min_length=1)] = (-4, -3, -2, -1),
        spatial: NonNegativeFloat = 3.0,
        flat: NonNegativeFloat = 1.0,
    ) -> None:
        super().__init__()
        self.spatial = spatial
        self.flat = flat
        self.taps = Taps(student=tuple(sorted(set(stages))), embedding=True)

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """Check that both sides have maps of the same shapes.

        Raises:
            KdzooError: their maps differ.

        """
        if [one.shape for one in student.features] != [one.shape for one in teacher.features]:
            raise KdzooError(
                "knowledge 'pod' compares maps of one network at two times, and these differ in their shapes: take "
                "scheme 'previous-self'"
            )

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; the labels are not used."""
        spatial = pod_spatial_loss(student.features, teacher.features, reduction="none")
        flat = pod_flat_loss(student.embedded, teacher.embedded, reduction="none")
        return self.spatial * spatial + self.flat * flat
