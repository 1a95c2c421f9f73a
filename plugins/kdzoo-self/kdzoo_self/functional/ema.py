"""The moving average of a network's weights as its teacher: Tarvainen and Valpola 2017."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdzoo.api import Reduction, at_least_float32, reduce


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Update every weight of ``average``: decay x average + (1 - decay) x network.

    Floating-point buffers (BatchNorm's statistics) are averaged too; others (its counter) are copied.

    Args:
        average: changed in place.
        network: has the same parameters and buffers as ``average``.
        decay: in [0, 1].

    Raises:
        ValueError: their parameters or buffers differ.

    """
    own, other = average.state_dict(), network.state_dict()
    if own.keys() != other.keys():
        raise ValueError(
            "the average and the network that it follows must have the same parameters and buffers"
        )
    for name, value in own.items():
        if value.is_floating_point():
            value.lerp_(other[name].to(value.dtype), 1 - decay)
        else:
            value.copy_(other[name])


def probability_mse(student: Tensor, teacher: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Mean over the classes of the squared difference of two networks' probabilities.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits; not detached by this function.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: shapes that differ.

    """
    if student.ndim != 2 or student.shape != teacher.shape:
        raise ValueError(
            f"logits must be (B, K) on both sides, not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    student, teacher = (at_least_float32(one).softmax(dim=1) for one in (student, teacher))
    loss = (student - teacher).square().mean(dim=1)
    return reduce(loss, reduction)
