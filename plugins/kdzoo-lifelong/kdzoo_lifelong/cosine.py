"""A student with a cosine classifier on several proxies per class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdzoo.api import Assembled, Backbone, Output, Probe
from kdzoo_lifelong.functional import local_similarity


class LocalSimilarity(Assembled):
    """A timm backbone with proxies (K, P, D) and a learned scale in place of its classifier.

    The logits are the scale times :func:`~kdzoo_lifelong.functional.local_similarity`.

    Args:
        backbone: its classifier is removed.
        classes: K.
        proxies: P, number of proxies of each class.
        scale: initial value of the learned scale.
        generator: draws the proxies.

    """

    def __init__(
        self, backbone: Backbone, classes: int, proxies: int, scale: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        width = embedding_width(backbone)
        backbone.model.reset_classifier(0)
        self.backbone = backbone
        drawn = torch.randn(classes, proxies, width, generator=generator, device=generator.device)
        self.proxies = nn.Parameter(drawn / width**0.5)
        self.scale = nn.Parameter(torch.tensor(scale, device=generator.device))

    def forward(
        self,
        image: Tensor,
        stages: tuple[int, ...] = (),
        embedding: bool = False,
        probes: tuple[Probe, ...] = (),
    ) -> Output:
        """As for a backbone."""
        own = self.backbone(image, stages, False, probes)
        vector = own.logits.flatten(1)
        logits = self.scale * local_similarity(vector, self.proxies)
        return Output(logits, own.features, vector if embedding else None, own.extras)


def embedding_width(backbone: Backbone) -> int:
    """D, the width of the classifier's input."""
    weight = backbone.classifier.weight
    assert isinstance(weight, Tensor)
    return weight.shape[1]
