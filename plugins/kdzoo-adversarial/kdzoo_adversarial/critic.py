"""The discriminator: a small network that scores vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Critic(nn.Module):
    """Two hidden layers with leaky ReLUs and a linear score; positive means real.

    There is no activation after the last layer. A ReLU there, before the cross-entropy, can be 0 for all
    inputs from the first step on, and then neither side gets a gradient.

    Args:
        size: D, the length of the vectors.
        condition: length of the condition; 0 is unconditional.
        hidden: width of both hidden layers.

    """

    def __init__(self, size: int, condition: int = 0, hidden: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(size + condition, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, 1),
        )

    def forward(self, rows: Tensor, condition: Tensor | None = None) -> Tensor:
        """Scores (B, P) of (B, P, D) vectors, P per sample; the condition is (B, condition)."""
        if condition is not None:
            told = condition[:, None].expand(-1, rows.shape[1], -1).to(rows.dtype)
            rows = torch.cat([rows, told], dim=-1)
        scores: Tensor = self.layers(rows).squeeze(-1)
        return scores
