"""Teacher dropping: which teachers count for an image."""

from __future__ import annotations

import torch
from torch import Tensor


def kept_teachers(losses: Tensor, probability: float, generator: torch.Generator | None = None) -> Tensor:
    """Ones and zeros: each image keeps the teacher that it fits worst, and each other teacher by chance.

    UNIC (Sariyildiz et al. 2024): the teachers that a student fits already are dropped at random.

    Args:
        losses: (N, B), of each of N teachers for each image.
        probability: in [0, 1), that a teacher is dropped.
        generator: on the device of the losses; None for torch's own.

    Returns:
        (N, B), of the losses' dtype.
    """
    worst = losses.detach().argmax(dim=0)
    drawn = torch.rand(losses.shape, generator=generator, device=losses.device) >= probability
    rows = torch.arange(len(losses), device=losses.device)[:, None]
    return (drawn | (rows == worst)).to(losses.dtype)
