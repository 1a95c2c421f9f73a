"""Projected gradient ascent on an image: Madry, Makelov, Schmidt, Tsipras and Vladu 2018."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from kdzoo.api import choice

SMALL = 1e-3
"""The standard deviation of a start ``near`` the image, as in TRADES (Zhang et al. 2019)."""

Start = Literal["uniform", "near", "none"]


def start_at(image: Tensor, epsilon: float, kind: Start, generator: torch.Generator | None = None) -> Tensor:
    """The start of the attack.

    Args:
        image: (B, C, H, W) in [0, 1].
        epsilon: largest change of a pixel.
        kind: ``uniform`` in the ball, ``near`` the image (normal, deviation :data:`SMALL`), or ``none``: at it.
        generator: for the random numbers, on the image's device.

    Returns:
        (B, C, H, W) in [0, 1] and within ``epsilon`` of the image.

    Raises:
        ValueError: an unknown kind.

    """
    choice("kind", kind, get_args(Start))
    if kind == "none":
        return image.detach().clone()
    # Drawn in the default memory format, so that the numbers do not depend on the image's format.
    noise = torch.empty(image.shape, dtype=image.dtype, device=image.device)
    if kind == "uniform":
        noise.uniform_(-epsilon, epsilon, generator=generator)
    else:
        noise.normal_(0.0, SMALL, generator=generator)
    return within(image.detach() + noise, image.detach(), epsilon)


def within(attacked: Tensor, image: Tensor, epsilon: float) -> Tensor:
    """Project to the L∞ ball of ``epsilon`` around the image, and to [0, 1]."""
    return attacked.clamp(image - epsilon, image + epsilon).clamp(0.0, 1.0)


def pgd(
    objective: Callable[[Tensor], Tensor],
    image: Tensor,
    start: Tensor,
    *,
    epsilon: float,
    step_size: float,
    steps: int,
) -> Tensor:
    """Projected gradient ascent: repeated steps along the sign of the gradient, projected to the ball.

    Only the gradient with respect to the image is computed, even where gradients are switched off.

    Args:
        objective: images (B, C, H, W) -> a scalar to maximise: a sum over the samples, so that they are
            independent.
        image: (B, C, H, W) in [0, 1].
        start: (B, C, H, W), such as :func:`start_at` returns.
        epsilon: largest change of a pixel, in [0, 1].
        step_size: change of a pixel per step; >= 0.
        steps: number of steps; 0 returns the start.

    Returns:
        (B, C, H, W) in [0, 1], within ``epsilon`` of the image, detached.

    """
    image = image.detach()
    attacked = start.detach()
    for _ in range(steps):
        with torch.enable_grad():
            attacked = attacked.requires_grad_()
            (gradient,) = torch.autograd.grad(objective(attacked), attacked)
        attacked = within(attacked.detach() + step_size * gradient.sign(), image, epsilon)
    return attacked
