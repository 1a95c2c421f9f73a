"""Learned rounding of weights, up or down: Nagel et al. 2020 (AdaRound), section 3."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.api import at_least_float32

STRETCH = 1.1
"""ζ: the sigmoid is stretched to (γ, ζ) and clipped to [0, 1], so that it reaches both ends."""

SHIFT = -0.1
"""γ."""

_CANDIDATES = 100


def share_up(learned: Tensor) -> Tensor:
    """h(V) = clip(σ(V) (ζ - γ) + γ, 0, 1), equation 23: the fraction by which each weight is rounded up."""
    return (torch.sigmoid(learned) * (STRETCH - SHIFT) + SHIFT).clamp(0, 1)


def start_of(weight: Tensor, step: Tensor) -> Tensor:
    """The V at which h(V) is the weight's fractional part, so that initially no weight changes.

    Args:
        weight: of any shape.
        step: positive, broadcastable to it.

    """
    scaled = weight / step
    share = scaled - scaled.floor()
    return torch.logit((share - SHIFT) / (STRETCH - SHIFT))


def round_softly(weight: Tensor, step: Tensor, low: Tensor, high: Tensor, up: Tensor) -> Tensor:
    """S clip(floor(W/s) + h, low, high), equation 22.

    Args:
        weight: of any shape.
        step: s, positive, broadcastable to it.
        low: the lowest integer.
        high: the highest.
        up: h in [0, 1], of the weight's shape; 0 or 1 gives integer multiples.

    """
    return torch.clamp((weight / step).floor() + up, low, high) * step


def indecision(up: Tensor, beta: Tensor | float) -> Tensor:
    """Σ 1 - |2h - 1|^β, equation 24; a scalar: zero where each h is 0 or 1.

    Args:
        up: h, of any shape.
        beta: > 0; the larger, the weaker the gradient of an h that is not close to 0 or 1.

    """
    return (1 - (2 * up - 1).abs().pow(beta)).sum()


def best_step(weight: Tensor, low: float, high: float, *, per_channel: bool) -> Tensor:
    """The step size, of a hundred candidates, with the smallest squared error of rounding to nearest.

    Args:
        weight: (out, ...).
        low: the lowest integer, negative.
        high: the highest.
        per_channel: one per output channel; else one for the tensor.

    Returns:
        (out,) or ().

    """
    rows = weight.detach().float().flatten(1) if per_channel else weight.detach().float().reshape(1, -1)
    largest = rows.abs().amax(dim=1).clamp(min=1e-8) / -low
    best, least = largest, torch.full_like(largest, torch.inf)
    for share in torch.linspace(0.1, 1.5, _CANDIDATES, device="cpu").tolist():
        step = largest * share
        rounded = (rows / step[:, None]).round().clamp(low, high) * step[:, None]
        error = (rounded - rows).square().sum(dim=1)
        best, least = torch.where(error < least, step, best), torch.minimum(error, least)
    return best if per_channel else best[0]


def reconstruction(student: Tensor, teacher: Tensor) -> Tensor:
    """Σ over channels of (student - teacher)², mean over the rest; a scalar, in at least float32.

    Li et al. 2021 (BRECQ), equation 10 without the Fisher information, as in their code.

    Args:
        student: (B, C, ...).
        teacher: of the same shape.

    """
    precise = at_least_float32(student.dtype)
    return (student.to(precise) - teacher.to(precise)).square().sum(dim=1).mean()


def annealed(progress: float, *, warm_up: float, first: float = 20.0, last: float = 2.0) -> float | None:
    """β at ``progress``: None in the warm-up, without the regulariser; then linear from ``first`` to ``last``."""
    if progress < warm_up:
        return None
    return first + (last - first) * (progress - warm_up) / max(1 - warm_up, 1e-8)
