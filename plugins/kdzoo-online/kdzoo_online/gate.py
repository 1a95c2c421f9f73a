"""The gate that weights branches on a shared trunk: Lan, Zhu and Gong 2018."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from kdzoo.api import Output
from kdzoo_online.functional import gated_logits


class Gate(nn.Module):
    """The branches' ensemble, with weights for each sample from the trunk's map.

    A linear layer on the mean of the trunk's map, batch normalisation, ReLU and softmax give the weights.

    Args:
        channels: channels of the trunk's map.
        branches: number of branches.
    """

    def __init__(self, channels: int, branches: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, branches)
        self.norm = nn.BatchNorm1d(branches)

    def weights(self, trunk: Tensor) -> Tensor:
        """(B, branches) weights ≥ 0 that sum to 1, from the trunk's map (B, C, H, W)."""
        return F.relu(self.norm(self.linear(trunk.mean(dim=(2, 3))))).softmax(dim=1)

    def forward(self, read: Output) -> Output:
        """The ensemble's logits.

        Args:
            read: its ``features`` are the trunk's map (B, C, H, W) and the logits (B, K) of each branch.

        Returns:
            logits (B, K).

        """
        trunk, *logits = read.features
        return Output(gated_logits(logits, self.weights(trunk)))
