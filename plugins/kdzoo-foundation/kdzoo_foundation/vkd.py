"""Orthogonal projections: Miles, Elezi and Deng 2024."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdzoo.api import Batch, Knowledge, Output, Run, Taps
from kdzoo_foundation.functional.vkd import Norm, normalised_loss


class VkD(Knowledge):
    """Pooled features behind an orthogonal projector, which cannot learn what the student should. Reads no label.

    Args:
        norm: how the teacher's features are normalised: ``layer``, ``whiten`` or ``none``.
    """

    name = "vkd"
    kind = "feature"
    taps = Taps(embedding=True)

    def __init__(self, norm: Norm = "layer") -> None:
        super().__init__()
        self.norm: Norm = norm

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """A projector whose rows or columns, whichever are fewer, are orthonormal throughout training."""
        ours, theirs = student.embedded, teacher.embedded
        self.projector = Orthogonal(ours.shape[1], theirs.shape[1]).to(ours.device)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses."""
        return normalised_loss(
            self.projector(student.embedded), teacher.embedded, norm=self.norm, reduction="none"
        )


class Orthogonal(nn.Module):
    """A linear map with orthonormal rows or columns: a random one, turned by Cayley's map of a skew-symmetric matrix.

    torch's parametrisation of the same map checks for errors in every step, and so lets the host wait for a GPU.

    Args:
        before: width of what it takes.
        after: width of what it gives.
    """

    start: Tensor

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        wide, narrow = max(before, after), min(before, after)
        self._widens = after >= before
        start, _ = torch.linalg.qr(torch.randn(wide, narrow, device="cpu"))
        self.register_buffer("start", start)
        self.skew = nn.Parameter(torch.zeros_like(start))

    @property
    def weight(self) -> Tensor:
        """(after, before)."""
        wide, narrow = self.skew.shape
        half = nn.functional.pad(self.skew, (0, wide - narrow)) / 2
        half = half - half.T
        identity = torch.eye(wide, dtype=half.dtype, device=half.device)
        # I + a skew-symmetric matrix can always be inverted
        turned, _ = torch.linalg.solve_ex(identity + half, (identity - half) @ self.start)
        found: Tensor = turned if self._widens else turned.T
        return found

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, before) -> (B, after)."""
        return nn.functional.linear(vectors, self.weight)
