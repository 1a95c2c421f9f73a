"""Modules that round: one for the weights of a layer, one for what goes into it."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn

from kdzoo_quantized.functional import fake_quantize, initial_step, levels, to_integers


class WeightQuantizer(nn.Module):
    """Rounds a layer's weights with learned steps; a parametrization of ``weight``.

    Args:
        weight: (out, ...), from which the first steps are computed.
        bits: 1 to 16.
        per_channel: one step for each output channel; else one for the tensor.

    Attributes:
        step: (out,) or (), the learned steps.
        bits: as given.

    """

    low: Tensor
    high: Tensor

    def __init__(self, weight: Tensor, bits: int, *, per_channel: bool = False) -> None:
        super().__init__()
        self.bits = bits
        self.binary = bits == 1
        low, high = levels(bits, signed=True)
        self.register_buffer("low", torch.tensor(float(low), device=weight.device), persistent=False)
        self.register_buffer("high", torch.tensor(float(high), device=weight.device), persistent=False)
        magnitude = weight.detach().float().abs()
        magnitude = magnitude.flatten(1).mean(dim=1) if per_channel else magnitude.mean()
        self.step = nn.Parameter(initial_step(magnitude, self.high, binary=self.binary))
        # One dimension at most: optimizers decay what has more.
        self.count = weight.numel() // self.step.numel()

    def forward(self, weight: Tensor) -> Tensor:
        """The weights as whole multiples of their steps, of the same shape."""
        return fake_quantize(
            weight, self._broadcast(weight), self.low, self.high, self.count, binary=self.binary
        )

    def integers(self, weight: Tensor) -> Tensor:
        """The same without the steps: int16 of the weight's shape."""
        step = self._broadcast(weight).abs()
        return to_integers(weight, step, self.low, self.high, binary=self.binary).to(torch.int16)

    def _broadcast(self, weight: Tensor) -> Tensor:
        return self.step.reshape(-1, *[1] * (weight.dim() - 1)) if self.step.dim() else self.step


class ActivationQuantizer(nn.Module):
    """Rounds what goes into a layer with one learned step.

    The range is decided where it is calibrated: from 0 upwards where no value is negative, as behind a ReLU, else
    on both sides of 0. One bit stands for 0 and the step, whatever comes in. The range and the step are in the
    state dict.

    Args:
        bits: 1 to 16.
        signed: decide the range here; None leaves it to the calibration.
        device: of the step.

    Attributes:
        step: (), the learned step.
        calibrating: compute the step and the range anew from each input; see :func:`calibrating`.
        calls: how many inputs were seen while calibrating.

    """

    low: Tensor
    high: Tensor

    def __init__(self, bits: int, *, signed: bool | None = None, device: torch.device | None = None) -> None:
        super().__init__()
        self.bits = bits
        self.signed = False if bits == 1 else signed
        low, high = levels(bits, signed=bool(self.signed))
        self.register_buffer("low", torch.tensor(float(low), device=device))
        self.register_buffer("high", torch.tensor(float(high), device=device))
        self.step = nn.Parameter(torch.ones((), device=device))
        self.calibrating = False
        self.calls = 0

    def forward(self, values: Tensor) -> Tensor:
        """The values as whole multiples of the step, of the same shape."""
        if self.calibrating:
            self.calls += 1
            self._calibrate(values.detach())
        return fake_quantize(values, self.step, self.low, self.high, values[0].numel())

    @torch.no_grad()
    def _calibrate(self, values: Tensor) -> None:
        magnitude, negative = values.float().abs().mean(), (values < 0).any().float()
        if distributed.is_available() and distributed.is_initialized():
            # Each process sees its own part of the batch, and all must begin with the same step.
            distributed.all_reduce(magnitude)
            magnitude = magnitude / distributed.get_world_size()
            distributed.all_reduce(negative, distributed.ReduceOp.MAX)
        if self.signed is None:
            (low, high), (_, whole) = levels(self.bits, signed=True), levels(self.bits, signed=False)
            self.low.copy_(negative * low)
            self.high.copy_(negative * high + (1 - negative) * whole)
        self.step.copy_(initial_step(magnitude, self.high))
