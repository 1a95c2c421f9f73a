"""Self-supervised distillation: Fang, Wang, Wang, Zhang, Yang and Liu 2021."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api import Batch, Knowledge, Output, Run, Taps
from kdzoo_foundation.functional.queue import queue_loss


class Queue(Knowledge):
    """The student learns which of many other images the teacher finds similar. No label is read.

    Args:
        size: number of the teacher's last embeddings that are kept.
        temperature: divides the student's cosines.
        teacher_temperature: divides the teacher's cosines.
        projector: ``linear``, or ``mlp`` with one hidden layer of the student's width.
    """

    name = "queue"
    kind = "feature"
    exempt: ClassVar = {
        "batch-order": "the queue holds the batches before, so a second call compares with more"
    }
    taps = Taps(embedding=True)

    rows: Tensor
    filled: Tensor
    place: Tensor

    def __init__(
        self,
        size: PositiveInt = 8192,
        temperature: PositiveFloat = 0.2,
        teacher_temperature: PositiveFloat = 0.01,
        projector: Literal["linear", "mlp"] = "mlp",
    ) -> None:
        super().__init__()
        self.size = size
        self.temperature = temperature
        self.teacher_temperature = teacher_temperature
        self.kind_of_projector = projector

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """A projector, and an empty queue in buffers, so that checkpoints hold it."""
        ours, theirs = student.embedded.shape[1], teacher.embedded.shape[1]
        device = student.embedded.device
        last = nn.Linear(ours, theirs, device=device)
        hidden = (nn.Linear(ours, ours, device=device), nn.ReLU())
        self.projector = nn.Sequential(*hidden, last) if self.kind_of_projector == "mlp" else last
        self.register_buffer("rows", torch.zeros(self.size, theirs, device=device))
        self.register_buffer("filled", torch.zeros(self.size, dtype=torch.bool, device=device))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64, device=device))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses; then the teacher's embeddings take the places of the oldest ones."""
        theirs = functional.normalize(teacher.embedded, dim=1)
        loss = queue_loss(
            self.projector(student.embedded),
            theirs,
            self.rows.clone(),  # it changes below, before the gradient is computed
            temperature=self.temperature,
            teacher_temperature=self.teacher_temperature,
            filled=self.filled.clone(),
            reduction="none",
        )
        if self.training:
            self._remember(theirs.detach())
        return loss

    @torch.no_grad()
    def _remember(self, vectors: Tensor) -> None:
        vectors = _of_all_processes(vectors)[-self.size :]
        places = (self.place + torch.arange(len(vectors), device=vectors.device)) % self.size
        self.rows[places] = vectors.to(self.rows.dtype)
        self.filled[places] = True
        self.place.copy_((self.place + len(vectors)) % self.size)


def _of_all_processes(vectors: Tensor) -> Tensor:
    """The rows of every process, in their order, so that all queues are the same."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return vectors
    gathered = [torch.empty_like(vectors) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(gathered, vectors.contiguous())
    return torch.cat(gathered)
