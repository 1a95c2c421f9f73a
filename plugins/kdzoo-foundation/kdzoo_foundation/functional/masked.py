"""The masked term of Proteus."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.api import Reduction, at_least_float32, reduce


def masked_loss(student: Tensor, teacher: Tensor, mask: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Mean squared difference of two maps over the masked positions alone.

    Args:
        student: (B, C, H, W), from an image of which the masked positions were hidden.
        teacher: (B, C, H, W), from the whole image.
        mask: (B, 1, H, W) bool, True where the position was hidden.
        reduction: ``"none"`` for (B,), 0 for a sample without a masked position; ``"mean"`` for the mean over the
            batch.

    Raises:
        ValueError: shapes that do not fit, or an unknown reduction.
    """
    if student.shape != teacher.shape or mask.shape != (len(student), 1, *student.shape[2:]):
        raise ValueError(
            "student and teacher must be maps of the same shape and the mask (B, 1, H, W), "
            f"not {tuple(student.shape)}, {tuple(teacher.shape)} and {tuple(mask.shape)}"
        )
    squares = (at_least_float32(student) - at_least_float32(teacher)).square().mean(dim=1, keepdim=True)
    hidden = mask.to(squares.dtype)
    total = (squares * hidden).sum(dim=(1, 2, 3))
    return reduce(total / hidden.sum(dim=(1, 2, 3)).clamp_min(1), reduction)


def random_patches(
    grid: torch.Size, ratio: float, generator: torch.Generator | None, device: torch.device
) -> Tensor:
    """A mask (B, 1, h, w) that hides each position with the probability ``ratio``.

    Args:
        grid: (B, C, h, w) of the map.
        ratio: in [0, 1].
        generator: on the device; None for torch's own.
        device: of the mask.
    """
    batch, _, height, width = grid
    return torch.rand((batch, 1, height, width), generator=generator, device=device) < ratio
