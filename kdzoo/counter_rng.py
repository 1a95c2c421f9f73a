"""Random numbers that are a pure function of what they are for: a key, a sample's index, a draw's number.

Nothing is kept between calls, so any number can be drawn again at any time, in any order, in any process and
on any device. The mixing function is the finaliser of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable
pseudorandom number generators", doi:10.1145/2660193.2660195), in integer arithmetic modulo 2^64.
"""

from __future__ import annotations

import functools
import hashlib
from statistics import NormalDist

import torch
from torch import Tensor

DRAW_BITS = 24
"""Bits of one draw: as many as a float32 holds exactly."""

_NORMAL_BITS = 12
"""Bits of a draw that a normal number depends on."""

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT = 31


def _signed(value: int) -> int:
    """The int64 with the same 64 bits: torch has few operations on unsigned integers."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def _finalise(value: int) -> int:
    for shift, factor in _ROUNDS:
        value = ((value ^ (value >> shift)) * factor) & _MASK
    return value ^ (value >> _LAST_SHIFT)


def _finalise_tensor(value: Tensor) -> Tensor:
    for shift, factor in _ROUNDS:
        value = (value ^ _logical_shift(value, shift)) * _signed(factor)
    return value ^ _logical_shift(value, _LAST_SHIFT)


def _logical_shift(value: Tensor, shift: int) -> Tensor:
    # torch's >> copies the sign bit into the left end
    return (value >> shift) & ((1 << (64 - shift)) - 1)


def key(purpose: str, *parts: int) -> int:
    """A 64-bit key for ``purpose`` (which keeps uses apart) and numbers such as the seed and the epoch."""
    value = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    for part in parts:
        value = _finalise((value ^ (part & _MASK)) + _STEP & _MASK)
    return value


def bits(key: int, index: Tensor) -> Tensor:
    """64 random bits per element of ``index`` (any shape, int64), as int64 of the same shape."""
    return _finalise_tensor((index ^ _signed(key)) + _signed(_STEP))


def draws(key: int, index: Tensor, numbers: range) -> Tensor:
    """The draws with these ``numbers`` for each sample: (B,) int64 -> (len(numbers), B) int64 in [0, 2^24)."""
    number = torch.arange(numbers.start + 1, numbers.stop + 1, device=index.device) * _signed(_STEP)
    return _logical_shift(_finalise_tensor(bits(key, index) + number[:, None]), 64 - DRAW_BITS)


def uniform(drawn: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Draws as float32, uniform in [low, high); ``high`` itself only where rounding reaches it, never at 1."""
    return drawn.to(torch.float32) * ((high - low) / (1 << DRAW_BITS)) + low


def normal(drawn: Tensor) -> Tensor:
    """Draws as float32, of the standard normal distribution: one of its 4,096 quantiles, from -3.7 to 3.7."""
    return _quantiles(drawn.device)[drawn >> (DRAW_BITS - _NORMAL_BITS)]


@functools.cache
def _quantiles(device: torch.device) -> Tensor:
    count = 1 << _NORMAL_BITS
    normal = NormalDist()
    return torch.tensor([normal.inv_cdf((place + 0.5) / count) for place in range(count)], device=device)


def below(drawn: Tensor, bound: int) -> Tensor:
    """Draws as int64, uniform in 0 .. bound - 1; bound at most 2^16, so that the bias stays under 1/256."""
    return (drawn * bound) >> DRAW_BITS


def permutation(key: int, index: Tensor) -> Tensor:
    """A random order: positions in ``index`` (n,), such that a subset of ``index`` keeps its relative order."""
    return torch.argsort(bits(key, index), stable=True)
