"""Learned step sizes: Esser, McKinstry, Bablani, Appuswamy and Modha 2020, sections 2 to 2.2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kdzoo.api import at_least_float32

_SMALLEST_STEP = 1e-8


def levels(bits: int, *, signed: bool) -> tuple[int, int]:
    """The lowest and the highest integer of ``bits`` bits.

    Args:
        bits: 1 to 16.
        signed: -2^(bits-1) to 2^(bits-1) - 1; else 0 to 2^bits - 1. One signed bit represents -1 and 1, since
            0 and -1 could not express a positive weight.

    Raises:
        ValueError: another number of bits.

    """
    if not 1 <= bits <= 16:
        raise ValueError(f"bits must be 1 to 16, not {bits}")
    if not signed:
        return 0, 2**bits - 1
    return (-1, 1) if bits == 1 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def initial_step(mean_magnitude: Tensor, high: Tensor | float, *, binary: bool = False) -> Tensor:
    """2 E|v| / sqrt(high), section 2.1; E|v| if only the sign is kept.

    Args:
        mean_magnitude: E|v|, of any shape.
        high: the highest integer.
        binary: whether the levels are -1 and 1 (Rastegari et al. 2016, equation 6).

    """
    if binary:
        return mean_magnitude.clamp(min=_SMALLEST_STEP)
    return (2 * mean_magnitude / torch.as_tensor(high, device=mean_magnitude.device).sqrt()).clamp(
        min=_SMALLEST_STEP
    )


def to_integers(
    values: Tensor, step: Tensor, low: Tensor | float, high: Tensor | float, *, binary: bool = False
) -> Tensor:
    """round(clip(values / step, low, high)), or the sign; integers in the values' floating dtype."""
    scaled = values / step
    if binary:
        return torch.where(scaled >= 0, 1.0, -1.0).to(scaled.dtype)
    return scaled.clamp(*(torch.as_tensor(one, device=scaled.device) for one in (low, high))).round()


def fake_quantize(
    values: Tensor,
    step: Tensor,
    low: Tensor | float,
    high: Tensor | float,
    count: float,
    *,
    binary: bool = False,
) -> Tensor:
    """Values rounded to integer multiples of a learned step size, equations 1 to 3 of section 2.

    The gradient of the values is passed through unchanged inside the range and is zero outside. That of the
    step size is q - v / s inside and q outside, where q is the integer, times 1 / sqrt(count x high).

    Args:
        values: of any shape and floating dtype; computed in at least float32 and returned in the dtype of the
            input.
        step: s, broadcastable to ``values``; its magnitude is used, and at least 1e-8.
        low: the lowest integer.
        high: the highest integer, >= 1.
        count: N, number of values that share one step size: weights, or features of one sample.
        binary: keep only the sign; ``low`` and ``high`` are -1 and 1.

    """
    precise = at_least_float32(values)
    step = step.abs().clamp(min=_SMALLEST_STEP)
    if not torch.is_grad_enabled():
        return (to_integers(precise, step, low, high, binary=binary) * step).to(values.dtype)
    bounds = (torch.as_tensor(one, dtype=precise.dtype, device=precise.device) for one in (low, high))
    rounded: Tensor = _FakeQuantize.apply(precise, step, *bounds, count, binary)
    return rounded.to(values.dtype)


class _FakeQuantize(torch.autograd.Function):
    """Written by hand, so that it keeps one map for the backward pass instead of five."""

    @staticmethod
    def forward(
        values: Tensor, step: Tensor, low: Tensor, high: Tensor, count: float, binary: bool
    ) -> Tensor:
        return to_integers(values, step, low, high, binary=binary) * step

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.count, ctx.binary = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        values, step, low, high = ctx.saved_tensors
        scaled = values / step
        inside = (scaled >= low) & (scaled <= high)
        to_values = gradient * inside if ctx.needs_input_grad[0] else None
        to_step = None
        if ctx.needs_input_grad[1]:
            integers = to_integers(values, step, low, high, binary=ctx.binary)
            to_step = (gradient * (integers - scaled * inside)).sum_to_size(step.shape)
            to_step = to_step * (ctx.count * high).rsqrt()
        return to_values, to_step, None, None, None, None
