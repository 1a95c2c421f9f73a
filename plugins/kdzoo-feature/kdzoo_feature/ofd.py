"""A comprehensive overhaul of feature distillation: Heo, Kim, Yun, Park, Kwak and Choi 2019."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdzoo.api import Batch, Knowledge, Output, Run, Taps
from kdzoo_feature.functional.ofd import ofd_loss
from kdzoo_feature.preactivation import PreActivation
from kdzoo_feature.stages import Stages, paired


class OFD(Knowledge):
    """Partial L2 distance between pre-activations, which ignores a student below a negative target.

    Args:
        stages: the student's stages, counted from the deepest, -1, shallow to deep.
        teacher_stages: the teacher's stages, one for each of ``stages``; None means the same.
    """

    name = "ofd"
    kind = "feature"

    def __init__(self, stages: Stages = (-4, -3, -2, -1), teacher_stages: Stages | None = None) -> None:
        super().__init__()
        pairs = paired(self.name, stages, teacher_stages)
        self.read = PreActivation(pairs.of("student"))
        self.read_teacher = PreActivation(pairs.of("teacher"), margins=True)
        self.taps = Taps(probes=(self.read,), teacher_probes=(self.read_teacher,))
        self.connectors = nn.ModuleList()

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """One connector for each pair of stages."""
        theirs = teacher.extras[self.read_teacher][::2]
        for one, other in zip(student.extras[self.read], theirs, strict=True):
            connector = nn.Sequential(
                nn.Conv2d(one.shape[1], other.shape[1], 1, bias=False), nn.BatchNorm2d(other.shape[1])
            )
            self.connectors.append(connector.to(one.device))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; the deepest stage has weight 1, each shallower one half the weight of the next."""
        kept = teacher.extras[self.read_teacher]
        stages = zip(self.connectors, student.extras[self.read], kept[::2], kept[1::2], strict=True)
        losses = [
            ofd_loss(connector(ours), theirs, margins[0], reduction="none")
            / 2 ** (len(self.connectors) - 1 - rank)
            for rank, (connector, ours, theirs, margins) in enumerate(stages)
        ]
        return torch.stack(losses).sum(dim=0)
