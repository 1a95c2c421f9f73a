"""Multi-head graph distillation: Lee and Song 2019."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import Reduction, at_least_float32, reduce, without_autocast

SQUARINGS = 10
"""To the power of 2^10, the Gram matrix has rank one in float32, unless two singular values are equal."""


def main_direction(feature: Tensor, *, gradient_steps: int = 8) -> Tensor:
    """A feature map's first right singular vector over channels; Lee and Song 2019, section 3.1.

    Its sign is chosen so that it points along the mean over positions, which makes networks of different
    widths agree. The vector is found by repeated squaring of the Gram matrix without gradient, and then
    multiplied by it ``gradient_steps`` more times with gradient. The value is exact; the gradient is a
    truncated series that converges to the exact one as (λ₂/λ₁)^steps and, unlike that of a singular value
    decomposition, is finite where singular values coincide. The host never waits for the device.

    Args:
        feature: (B, C, H, W).
        gradient_steps: at least 1.

    Returns:
        (B, C), of length 1; zero if the whole map is zero.

    Raises:
        ValueError: not a (B, C, H, W) tensor.
    """
    if feature.ndim != 4:
        raise ValueError(f"a feature map must be (B, C, H, W), not {tuple(feature.shape)}")
    with without_autocast(feature):
        rows = at_least_float32(feature).flatten(2).transpose(1, 2)  # (B, HW, C)
        with torch.no_grad():
            rows_size = rows.norm(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
            direction = _strongest(rows / rows_size)
            turned = (direction * rows.mean(dim=1)).sum(dim=1, keepdim=True) < 0
            direction = torch.where(turned, -direction, direction)
        rows = rows / rows_size  # scaling does not change the direction and keeps the squares in range
        for _ in range(gradient_steps):
            direction = torch.bmm(rows.transpose(1, 2), torch.bmm(rows, direction.unsqueeze(2))).squeeze(2)
            direction = functional.normalize(direction, dim=1)
    return direction


def graph_divergence(student: Tensor, teacher: Tensor, *, reduction: Reduction = "none") -> Tensor:
    """KL(student || teacher) of attention graphs, summed over heads; Lee and Song 2019, section 3.3.

    A graph's weights go through tanh and a softmax over the attended samples.

    Args:
        student: (heads, B, B).
        teacher: (heads, B, B).
        reduction: ``"none"`` for (B,), one value for each attending sample; ``"mean"`` for their mean.

    Raises:
        ValueError: shapes that differ, or are not (heads, B, B).
    """
    if student.shape != teacher.shape or student.ndim != 3 or student.shape[1] != student.shape[2]:
        raise ValueError(
            f"graphs must be (heads, B, B) on both sides, not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    student, teacher = (at_least_float32(one).tanh().log_softmax(dim=2) for one in (student, teacher))
    loss = (student.exp() * (student - teacher)).sum(dim=(0, 2))
    return reduce(loss, reduction)


def _strongest(rows: Tensor) -> Tensor:
    """(B, N, C) to (B, C): the first right singular vector, with undefined sign, by the smaller Gram matrix."""
    wide = rows.shape[1] < rows.shape[2]
    power = torch.bmm(rows, rows.transpose(1, 2)) if wide else torch.bmm(rows.transpose(1, 2), rows)
    for _ in range(SQUARINGS):
        power = torch.bmm(power, power)
        power = power / power.norm(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)
    # This is now v vᵀ; its column with the largest diagonal element is far from zero.
    column = power.diagonal(dim1=1, dim2=2).argmax(dim=1)
    vector = power.gather(2, column[:, None, None].expand(-1, power.shape[1], 1))
    if wide:
        vector = torch.bmm(rows.transpose(1, 2), vector)
    return functional.normalize(vector.squeeze(2), dim=1)
