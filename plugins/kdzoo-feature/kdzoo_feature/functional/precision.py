"""The dtype in which losses are computed."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """``tensor`` in float32 if it is of half precision, else as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
