"""A memory bank: a network's last output for each training sample."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kdzoo_relation.functional.vectors import unit


class Bank(nn.Module):
    """One unit vector for each sample, in buffers, so that checkpoints hold it.

    Rows are random directions until their sample is seen, and negatives from the first step on. If those that
    have been seen were the only ones, K times their mean would be the loss: untrained networks answer almost alike
    to all images, so that a few answers would push as strongly as K different ones. An extra last row takes samples
    of index -1.

    Args:
        size: number of samples.
        width: width of the vectors.
        device: the bank's device.
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
        self._first = True  # per process: later steps skip the estimate

    def log_partition(self, scores: Tensor) -> Tensor:
        """The log of the mean of exp(score), estimated from the first scores (B, N) and then fixed."""
        if self._first:
            estimate = scores.flatten().logsumexp(dim=0) - math.log(scores.numel())
            # After a resume, the checkpoint's value is kept; a check on the host would synchronise the
            # device.
            self.partition.copy_(torch.where(self.estimated, self.partition, estimate))
            self.estimated.fill_(True)
            self._first = False
        return self.partition

    @torch.no_grad()
    def remember(self, index: Tensor, vectors: Tensor, momentum: float) -> None:
        """Set these samples' rows to the new vectors (B, width) the first time, then average with momentum."""
        moved = unit(momentum * self.rows[index] + (1 - momentum) * vectors)
        self.rows[index] = torch.where(self.seen[index][:, None], moved, vectors.to(self.rows.dtype))
        self.seen[index] = index >= 0
