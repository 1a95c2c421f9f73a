"""Masked generative distillation: Yang, Li, Shao, Shi, Yuan and Yuan 2022."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from kdzoo.api import Batch, Knowledge, Output, Run, at_least_float32
from kdzoo_feature.functional.mgd import Mask, generation_loss, random_mask
from kdzoo_feature.stages import Stages, paired


class MGD(Knowledge):
    """A small network generates the teacher's whole map from a randomly masked map of the student.

    Args:
        stages: the student's stages, counted from the deepest, -1, shallow to deep.
        teacher_stages: the teacher's stages, one for each of ``stages``; None means the same.
        ratio: the probability that a pixel or channel is masked.
        mask: ``pixels`` masks positions of the map, ``channels`` whole channels.
        form: ``sum`` over the elements of a map, as in the paper, or their ``mean``, which needs a weight
            near 1.
    """

    name = "mgd"
    kind = "feature"
    exempt: ClassVar = {"batch-order": "the mask of an image depends on its position in the batch"}

    def __init__(
        self,
        stages: Stages = (-2,),
        teacher_stages: Stages | None = None,
        ratio: Annotated[float, Field(ge=0, lt=1)] = 0.15,
        mask: Mask = "pixels",
        form: Literal["sum", "mean"] = "sum",
    ) -> None:
        super().__init__()
        self.taps = paired(self.name, stages, teacher_stages)
        self.ratio = ratio
        self.mask: Mask = mask
        self.form: Literal["sum", "mean"] = form
        self.generators = nn.ModuleList()
        self._run: Run | None = None

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """One generation block for each pair of stages."""
        self._run = run
        for ours, theirs in zip(student.features, teacher.features, strict=True):
            self.generators.append(Generation(ours, theirs))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, summed over the pairs of stages."""
        assert self._run is not None
        # Not kept in an attribute: a resumed run makes its generators anew.
        draw = self._run.generator(self.name)
        losses = []
        pairs = zip(self.generators, student.features, teacher.features, strict=True)
        for generation, ours, theirs in pairs:
            generated = generation(ours, lambda aligned: random_mask(aligned, self.ratio, self.mask, draw))
            losses.append(generation_loss(generated, theirs, form=self.form, reduction="none"))
        return torch.stack(losses).sum(dim=0)


class Generation(nn.Module):
    """Two 3x3 convolutions with a ReLU between them, behind a 1x1 one where the channels differ.

    Args:
        ours: an example of the student's map.
        theirs: an example of the teacher's map.
    """

    def __init__(self, ours: Tensor, theirs: Tensor) -> None:
        super().__init__()
        dtype = at_least_float32(ours.dtype)
        width = theirs.shape[1]

        def conv(channels: int, size: int) -> nn.Conv2d:
            return nn.Conv2d(channels, width, size, padding=size // 2, device=ours.device, dtype=dtype)

        self.dtype = dtype
        self.aligner = nn.Identity() if ours.shape[1] == width else conv(ours.shape[1], 1)
        self.block = nn.Sequential(conv(width, 3), nn.ReLU(), conv(width, 3))

    def forward(self, feature: Tensor, mask: Callable[[Tensor], Tensor]) -> Tensor:
        """The generated (B, C, H, W) map; ``mask`` draws the mask, zeros and ones."""
        aligned = self.aligner(feature.to(self.dtype))
        generated: Tensor = self.block(aligned * mask(aligned))
        return generated
