"""A student with the teacher's classifier."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from kdzoo.api import Assembled, KdzooError, Output, Probe


class Borrowed(Assembled):
    """A network that outputs features of the teacher's width, followed by the teacher's classifier.

    The embedding is the classifier's input. The classifier is a frozen copy: it consists of buffers.

    Args:
        network: outputs (B, D) in place of logits.
        classifier: the teacher's, from (B, D) or (B, D, 1, 1) to (B, K).

    Raises:
        KdzooError: the classifier is not linear.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, network: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.network = network
        weight = linear_weight(classifier)
        self.register_buffer("weight", weight)
        bias = getattr(classifier, "bias", None)
        self.register_buffer("bias", torch.zeros(len(weight)).to(weight) if bias is None else _copy(bias))

    def forward(
        self,
        image: Tensor,
        stages: tuple[int, ...] = (),
        embedding: bool = False,
        probes: tuple[Probe, ...] = (),
    ) -> Output:
        """Logits (B, K) of the teacher's classifier; stages and probes are the network's."""
        output: Output = self.network(image, stages, False, *([probes] if probes else []))
        features = output.logits
        logits = nn.functional.linear(features, self.weight, self.bias)
        return replace(output, logits=logits, embedding=features if embedding else None)


def linear_weight(classifier: nn.Module) -> Tensor:
    """A copy of the (K, D) weight of a linear classifier or a 1x1 convolution.

    Raises:
        KdzooError: it is something else.
    """
    weight = classifier.weight if isinstance(classifier, nn.Linear | nn.Conv2d) else None
    if weight is not None and weight.flatten(1).shape == weight.shape[:2]:
        return _copy(weight.flatten(1))
    raise KdzooError(
        f"the teacher's classifier {type(classifier).__name__} is not a linear map, so the student cannot borrow "
        "it: take another teacher, or --set scheme.head=own"
    )


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone(memory_format=torch.contiguous_format)
