"""A student that gets a new backbone with each task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from kdzoo.api import Assembled, Backbone, Output, Probe


def linear(width: int, classes: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with weights drawn from the generator, uniform within 1 / sqrt(width), and zero bias."""
    layer = nn.Linear(width, classes, device="meta").to_empty(device=generator.device)
    with torch.no_grad():
        layer.weight.uniform_(-(width**-0.5), width**-0.5, generator=generator)
        layer.bias.zero_()
    return layer


class Expanded(Assembled):
    """Parallel backbones, all but the last frozen in eval mode, and a linear classifier on all embeddings.

    Stages and probes are those of the last backbone.

    Args:
        backbones: without classifiers: their logits are their embeddings.
        width: D, width of each embedding.
        classes: K.
        generator: draws the classifier.

    """

    def __init__(
        self, backbones: Sequence[Backbone], width: int, classes: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(backbones)
        self.width = width
        self.classifier = linear(width * len(backbones), classes, generator)

    def forward(
        self,
        image: Tensor,
        stages: tuple[int, ...] = (),
        embedding: bool = False,
        probes: tuple[Probe, ...] = (),
    ) -> Output:
        """As for a backbone; the embedding is (B, D x backbones), with the last backbone's part at its end."""
        *earlier, last = self.backbones
        with torch.no_grad():
            known = [one(image).logits.flatten(1) for one in earlier]
        own: Output = last(image, stages, False, probes)
        joined = torch.cat([*known, own.logits.flatten(1)], dim=1)
        return Output(self.classifier(joined), own.features, joined if embedding else None, own.extras)

    def train(self, mode: bool = True) -> Self:
        """The earlier backbones stay in eval mode."""
        super().train(mode)
        for one in self.backbones[:-1]:
            one.eval()
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """The earlier backbones stay frozen."""
        super().requires_grad_(requires_grad)
        for one in self.backbones[:-1]:
            one.requires_grad_(False)
        return self
