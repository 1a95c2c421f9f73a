"""Half-precision inputs are computed in float32, and autocast is held off."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor in float32, or as it is in float64."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def without_autocast(tensor: Tensor) -> torch.autocast:
    """A context on the tensor's device in which products of matrices keep the precision of their inputs."""
    return torch.autocast(tensor.device.type, enabled=False)
