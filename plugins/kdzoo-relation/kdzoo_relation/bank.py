"""What a network answered to each training sample when it was last seen."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kdzoo_relation.functional.vectors import unit


class Bank(nn.Module):
    """One unit vector for each sample, in buffers, so that checkpoints hold it.

    Rows begin as random directions. They serve to estimate the partition once, as negatives never. A row more
    than there are samples takes those of index -1.

    Args:
        size: number of samples.
        width: of the vectors.
        device: where it lies.
    """

    rows: Tensor
    seen: Tensor
    partition: Tensor
    estimated: Tensor

    def __init__(self, size: int, width: int, *, device: torch.device) -> None:
        super().__init__()
        self.register_buffer("rows", unit(torch.randn(size + 1, width, device=device)))
        self.register_buffer("seen", torch.zeros(size + 1, dtype=torch.bool, device=device))
        self.register_buffer("partition", torch.zeros((), device=device))
        self.register_buffer("estimated", torch.zeros((), dtype=torch.bool, device=device))
        self._first = True  # of this process: spares the later steps the estimate

    def forward(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """(N,) indices to (N, width) vectors and (N,) whether each is a sample that was seen."""
        return self.rows[index], self.seen[index]

    def log_partition(self, scores: Tensor) -> Tensor:
        """The log of the mean of exp(score), estimated from the first scores (B, N) and kept from then on."""
        if self._first:
            estimate = scores.flatten().logsumexp(dim=0) - math.log(scores.numel())
            # After a resume the checkpoint's holds; to look whether it does would make the host wait.
            self.partition.copy_(torch.where(self.estimated, self.partition, estimate))
            self.estimated.fill_(True)
            self._first = False
        return self.partition

    @torch.no_grad()
    def remember(self, index: Tensor, vectors: Tensor, momentum: float) -> None:
        """Move these samples' rows towards new vectors (B, width); the first time they become them."""
        moved = unit(momentum * self.rows[index] + (1 - momentum) * vectors)
        self.rows[index] = torch.where(self.seen[index][:, None], moved, vectors.to(self.rows.dtype))
        self.seen[index] = index >= 0
