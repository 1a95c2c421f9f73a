"""Weights with learned rounding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from kdzoo_quantized.functional.rounding import best_step, round_softly, share_up, start_of
from kdzoo_quantized.insert import weight_quantizers
from kdzoo_quantized.quantizers import WeightQuantizer


class RoundingQuantizer(WeightQuantizer):
    """Rounds a layer's weights to multiples of a fixed step size, with a learned direction, up or down.

    Args:
        weight: (out, ...), which is not changed.
        bits: 2 to 16.
        per_channel: one step size per output channel; else one for the tensor.

    Attributes:
        up: of the weight's shape, V of AdaRound; >= 0 rounds up.
        learning: round softly where gradients are computed; else to integer multiples of the step size.

    """

    def __init__(self, weight: Tensor, bits: int, *, per_channel: bool = False) -> None:
        super().__init__(weight, bits, per_channel=per_channel)
        with torch.no_grad():
            step = best_step(weight, float(self.low), float(self.high), per_channel=per_channel)
            self.step.copy_(step)
            self.up = nn.Parameter(start_of(weight.detach().float(), self._broadcast(weight)))
        self.learning = False

    def forward(self, weight: Tensor) -> Tensor:
        """The rounded weights, of the same shape."""
        step = self._broadcast(weight).detach()
        soft = self.learning and torch.is_grad_enabled()
        up = share_up(self.up) if soft else (self.up >= 0).to(weight.dtype)
        return round_softly(weight.detach(), step, self.low, self.high, up)

    def integers(self, weight: Tensor) -> Tensor:
        """The integers: int16 of the weight's shape."""
        one = torch.ones((), device=weight.device)
        scaled = weight / self._broadcast(weight)
        return round_softly(scaled, one, self.low, self.high, (self.up >= 0).float()).to(torch.int16)


def learn_rounding(network: nn.Module, *, per_channel: bool) -> None:
    """Replace each weight quantizer by a :class:`RoundingQuantizer`, in place."""
    for module, quantizer in weight_quantizers(network).values():
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
        layer: Any = module
        own = RoundingQuantizer(layer.weight, quantizer.bits, per_channel=per_channel)
        parametrize.register_parametrization(module, "weight", own)
