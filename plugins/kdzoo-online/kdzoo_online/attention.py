"""The attention that mixes each peer's target: Chen, Mei, Wang, Feng and Chen 2020."""

from __future__ import annotations

import torch
from torch import nn

from kdzoo.api import Output
from kdzoo_online.functional import attention_weights, mix_probabilities


class Attention(nn.Module):
    """Attention between two projections of the peers' embeddings gives the weights of each peer's target.

    Args:
        width: length of the embeddings.
        projected: length of the projections.
        temperature: temperature of the mixed softmaxes.
    """

    def __init__(self, width: int, projected: int, temperature: float) -> None:
        super().__init__()
        self.query = nn.Linear(width, projected, bias=False)
        self.key = nn.Linear(width, projected, bias=False)
        self.temperature = temperature

    def forward(self, read: Output) -> Output:
        """The targets of all peers.

        Args:
            read: its ``features`` are the embeddings (B, D) of the M peers, then their logits (B, K).

        Returns:
            logits (B, K): the peers' mean; as features each peer's target (B, K), then the weights (B, M, M).

        """
        half = len(read.features) // 2
        embeddings, logits = torch.stack(read.features[:half], dim=1), read.features[half:]
        weights = attention_weights(self.query(embeddings), self.key(embeddings))
        targets = mix_probabilities(logits, weights, temperature=self.temperature)
        equal = torch.full_like(weights[:, :1], 1 / half)
        (mean,) = mix_probabilities(logits, equal, temperature=self.temperature)
        return Output(mean, (*targets, weights))
