"""Inserting quantizers into a timm model, and calibrating them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from timm.layers import Conv2dSame
from timm.layers import Linear as TimmLinear
from torch import Tensor, nn
from torch.nn.utils import parametrize

from kdzoo.api import Backbone, KdzooError
from kdzoo_quantized.quantizers import ActivationQuantizer, WeightQuantizer

_PLAIN = (nn.Conv2d.forward, nn.Linear.forward, Conv2dSame.forward, TimmLinear.forward)
"""Layers that use their weights unchanged, so that rounding the parameter rounds the used weights."""


def insert(
    backbone: Backbone,
    weight_bits: int | None,
    activation_bits: int | None,
    *,
    first_last_bits: int | None = None,
    per_channel: bool = False,
    signed: bool | None = None,
) -> list[str]:
    """Quantize weights and inputs of the backbone's ``Conv2d`` and ``Linear`` layers, in place.

    The rounded weights are a parametrization of ``weight``, whose float original is trained. The input's
    quantizer is the layer's child ``input_quantizer``; it must be calibrated before use.

    Args:
        backbone: a timm model, trained or not; its weights determine the initial step sizes.
        weight_bits: 1 to 8; None keeps the weights in float.
        activation_bits: 1 to 8; None keeps the inputs in float.
        first_last_bits: for weights and inputs of the first and the last layer; None keeps them in float.
        per_channel: one step size per output channel of the weights; else one per layer.
        signed: whether inputs are signed; None lets the calibration decide.

    Returns:
        The names of the quantized layers.

    Raises:
        KdzooError: a layer transforms its weights before use, or there is nothing to quantize.

    """
    ends = _ends(backbone)
    chosen: list[tuple[str, nn.Conv2d | nn.Linear, int | None, int | None]] = []
    for name, module in backbone.model.named_modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        bits = (first_last_bits, first_last_bits) if name in ends else (weight_bits, activation_bits)
        if bits == (None, None):
            continue
        if type(module).forward not in _PLAIN or parametrize.is_parametrized(module):
            raise KdzooError(
                f"model {backbone.name!r}: layer {name} ({type(module).__name__}) changes its weights itself before "
                "it uses them, so that rounding them is not rounding what it computes with; take a model of plain "
                "convolutions such as a ResNet or an EfficientNet"
            )
        chosen.append((name, module, *bits))
    if not chosen:
        raise KdzooError(
            f"model {backbone.name!r}: no layer is left to round; it has none between its first and its last, or "
            "all bits are null"
        )
    for _, module, weights, inputs in chosen:
        if weights is not None:
            quantizer = WeightQuantizer(module.weight, weights, per_channel=per_channel)
            parametrize.register_parametrization(module, "weight", quantizer)
        if inputs is not None:
            module.add_module(
                "input_quantizer", ActivationQuantizer(inputs, signed=signed, device=module.weight.device)
            )
            module.register_forward_pre_hook(_round_input)
    return [name for name, *_ in chosen]


@contextmanager
def calibrating(network: nn.Module) -> Iterator[None]:
    """Inside the block, each forward pass recomputes the inputs' step sizes and ranges; the last one is kept.

    Raises:
        KdzooError: some layer was not called as a module, so its input cannot be rounded.

    """
    quantizers = {
        name: module for name, module in network.named_modules() if isinstance(module, ActivationQuantizer)
    }
    for quantizer in quantizers.values():
        quantizer.calibrating, quantizer.calls = True, 0
    try:
        yield
    finally:
        for quantizer in quantizers.values():
            quantizer.calibrating = False
    unseen = [name.removesuffix(".input_quantizer") for name, one in quantizers.items() if not one.calls]
    if unseen:
        raise KdzooError(
            f"layer {unseen[0]} is not called as a module by this network, so what goes into it cannot be "
            "rounded: take activation_bits=null, or another model"
        )


def weight_quantizers(network: nn.Module) -> dict[str, tuple[nn.Module, WeightQuantizer]]:
    """Layer name -> the layer and its weight quantizer."""
    found = {}
    for name, module in network.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            # Any: parametrized modules get their attributes at run time.
            quantizer: Any = module.parametrizations.weight[0]
            if isinstance(quantizer, WeightQuantizer):
                found[name] = (module, quantizer)
    return found


def _round_input(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Uses the module passed to the hook, so that a copy of the network calls its own quantizer."""
    rounded: Tensor = module.input_quantizer(inputs[0])  # type: ignore[operator]
    return rounded, *inputs[1:]


def _ends(backbone: Backbone) -> set[str]:
    """The names of the first and the last layer, as timm's description of the model has them."""
    cfg = backbone.model.pretrained_cfg
    named = [cfg.get(key) or () for key in ("first_conv", "classifier")]
    found = {one for names in named for one in ([names] if isinstance(names, str) else names)}
    layers = [
        name for name, module in backbone.model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    # The name can be that of a block around the layer.
    return {name for name in layers if any(f"{name}.".startswith(f"{one}.") for one in found)}
