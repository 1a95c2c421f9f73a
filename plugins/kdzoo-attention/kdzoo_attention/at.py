"""Activation-based attention transfer: Zagoruyko and Komodakis 2017."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from kdzoo.api import Batch, KdzooError, Knowledge, Output, Taps
from kdzoo_attention.functional import attention_loss
from kdzoo_attention.stages import Stages


class AT(Knowledge):
    """The student's spatial attention maps match the teacher's at several stages.

    Args:
        power: activations are raised to this before they are averaged over channels.
        form: ``paper`` takes half the norm of the maps' difference, ``code`` the squared norm.
        stages: the student's stages, counted from the deepest, -1, shallow to deep.
        teacher_stages: the teacher's stages, one for each of ``stages``; None means the same.
    """

    name = "at"
    kind = "feature"

    def __init__(
        self,
        power: Annotated[float, Field(ge=1)] = 2.0,
        form: Literal["paper", "code"] = "paper",
        stages: Stages = (-4, -3, -2),
        teacher_stages: Stages | None = None,
    ) -> None:
        super().__init__()
        if teacher_stages is not None and len(teacher_stages) != len(stages):
            raise KdzooError(
                f"knowledge.teacher_stages (at): {teacher_stages} must pair up with stages {stages}"
            )
        self.power = power
        self.form: Literal["paper", "code"] = form
        self.taps = Taps(student=stages, teacher=teacher_stages)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, summed over the pairs of stages."""
        losses = [
            attention_loss(ours, theirs, power=self.power, form=self.form, reduction="none")
            for ours, theirs in zip(student.features, teacher.features, strict=True)
        ]
        return torch.stack(losses).sum(dim=0)
