"""The quantized student."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from kdzoo.api import Assembled, Backbone, Output, Probe
from kdzoo_quantized.insert import weight_quantizers
from kdzoo_quantized.quantizers import ActivationQuantizer, WeightQuantizer


class QuantizedNetwork(Assembled):
    """A timm backbone with quantizers, exported as a program that contains them.

    Args:
        backbone: with quantizers; see :func:`kdzoo_quantized.insert.insert`.

    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.label_names = backbone.label_names

    def forward(
        self,
        image: Tensor,
        stages: tuple[int, ...] = (),
        embedding: bool = False,
        probes: tuple[Probe, ...] = (),
    ) -> Output:
        """As for the backbone: logits, stages and embedding of (B, C, H, W) images in [0, 1]."""
        answer: Output = self.backbone(image, stages, embedding, probes)
        return answer


def sizes(network: nn.Module) -> dict[str, float]:
    """Storage size of a network's weights in bytes, quantized and in float32.

    A quantized weight counts its bits; each step size, and every other number (biases, norms with their
    running statistics, float layers) counts 4 bytes. The float network has no step sizes.

    Returns:
        ``student_bytes`` and ``float_bytes``.

    """
    quantizers = [one for one in network.modules() if isinstance(one, WeightQuantizer | ActivationQuantizer)]
    own = {id(tensor) for one in quantizers for tensor in (*one.parameters(), *one.buffers())}
    steps = sum(one.step.numel() for one in quantizers)
    numbers = sum(
        tensor.numel()
        for tensor in network.state_dict(keep_vars=True).values()
        if tensor.is_floating_point() and id(tensor) not in own
    )
    saved = 0.0
    for module, quantizer in weight_quantizers(network).values():
        weights = module.parametrizations.weight.original  # type: ignore[union-attr]
        assert isinstance(weights, Tensor)
        saved += weights.numel() * (32 - quantizer.bits) / 8
    return {"student_bytes": 4 * numbers - saved + 4 * steps, "float_bytes": 4.0 * numbers}


def describe(network: nn.Module) -> str:
    """Markdown for the card of an exported student: the quantized layers and their bits."""
    weights = [one for one in network.modules() if isinstance(one, WeightQuantizer)]
    inputs = [one for one in network.modules() if isinstance(one, ActivationQuantizer)]
    bytes_ = sizes(network)
    return (
        "## Bits\n\n"
        f"The program rounds the weights of {len(weights)} layers to {_bits(weights)} and the inputs of "
        f"{len(inputs)} to {_bits(inputs)}, with steps that were learned. It computes in float32 with the rounded "
        f"values. Stored at these bits its weights are {bytes_['student_bytes']:,.0f} bytes, in float32 "
        f"{bytes_['float_bytes']:,.0f}."
    )


def _bits(quantizers: Sequence[WeightQuantizer | ActivationQuantizer]) -> str:
    found = sorted({one.bits for one in quantizers})
    return " or ".join(f"{bits} bit{'s' if bits > 1 else ''}" for bits in found) or "nothing"
