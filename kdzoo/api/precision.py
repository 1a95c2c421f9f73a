"""The precision in which losses are computed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import overload

import torch
from torch import Tensor


@overload
def at_least_float32(value: Tensor) -> Tensor: ...
@overload
def at_least_float32(value: torch.dtype) -> torch.dtype: ...
def at_least_float32(value: Tensor | torch.dtype) -> Tensor | torch.dtype:
    """Half precision as float32; float32 and float64 as they are.

    Args:
        value: a tensor, which is cast, or a dtype, for the weights of a module that reads such tensors.
    """
    if isinstance(value, Tensor):
        return value.to(torch.promote_types(value.dtype, torch.float32))
    return torch.promote_types(value, torch.float32)


def without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """A context in which matrix products on the tensor's device keep the precision of their inputs."""
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
