"""Quantizer modules, for the weights and for the inputs of a layer."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn

from kdzoo_quantized.functional import fake_quantize, initial_step, levels, to_integers


class WeightQuantizer(nn.Module):
    """Rounds a layer's weights with learned step sizes; a parametrization of ``weight``.

    Args:
        weight: (out, ...), from which the initial step sizes are computed.
        bits: 1 to 16.
        per_channel: one step size per output channel; else one for the tensor.

    Attributes:
        step: (out,) or (), the learned step sizes.
        bits: number of bits.

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
        # At most one dimension: tensors with more get weight decay.
        self.count = weight.numel() // self.step.numel()

    def forward(self, weight: Tensor) -> Tensor:
        """The weights as integer multiples of their step sizes, of the same shape."""
        return fake_quantize(
            weight, self._broadcast(weight), self.low, self.high, self.count, binary=self.binary
        )

    def integers(self, weight: Tensor) -> Tensor:
        """The integers: int16 of the weight's shape."""
        step = self._broadcast(weight).abs()
        return to_integers(weight, step, self.low, self.high, binary=self.binary).to(torch.int16)

    def _broadcast(self, weight: Tensor) -> Tensor:
        return self.step.reshape(-1, *[1] * (weight.dim() - 1)) if self.step.dim() else self.step


class ActivationQuantizer(nn.Module):
    """Rounds a layer's input with one learned step size.

    Calibration decides the range: unsigned if no value is negative, as after a ReLU, else signed. One bit
    always represents 0 and the step size. Range and step size are in the state dict.

    Args:
        bits: 1 to 16.
        signed: whether the range is signed; None lets the calibration decide.
        device: device of the step size.

    Attributes:
        step: (), the learned step size.
        calibrating: recompute step size and range from each input; see :func:`calibrating`.
        calls: number of inputs seen during calibration.

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
        """The values as integer multiples of the step size, of the same shape."""
        if self.calibrating:
            self.calls += 1
            self._calibrate(values.detach())
        return fake_quantize(values, self.step, self.low, self.high, values[0].numel())

    @torch.no_grad()
    def _calibrate(self, values: Tensor) -> None:
        magnitude, negative = values.float().abs().mean(), (values < 0).any().float()
        if distributed.is_available() and distributed.is_initialized():
            # Each process sees its own part of the batch, and all must start with the same step size.
            distributed.all_reduce(magnitude)
            magnitude = magnitude / distributed.get_world_size()
            distributed.all_reduce(negative, distributed.ReduceOp.MAX)
        if self.signed is None:
            (low, high), (_, whole) = levels(self.bits, signed=True), levels(self.bits, signed=False)
            self.low.copy_(negative * low)
            self.high.copy_(negative * high + (1 - negative) * whole)
        self.step.copy_(initial_step(magnitude, self.high))
