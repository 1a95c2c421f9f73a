"""A growing head."""

from __future__ import annotations

import torch
from torch import nn


def inherit(new: nn.Module, old: nn.Module) -> None:
    """Copy every tensor of ``old`` to ``new``; a tensor with more rows gets the old ones as its first rows.

    The other rows, those of new classes, are not changed.

    Raises:
        ValueError: the two differ in more than the number of classes.

    """
    source = old.state_dict()
    with torch.no_grad():
        for name, tensor in new.state_dict().items():
            value = source[name]
            if tensor.shape == value.shape:
                tensor.copy_(value)
            elif tensor.shape[1:] == value.shape[1:] and len(tensor) > len(value):
                tensor[: len(value)].copy_(value)
            else:
                raise ValueError(f"{name}: {tuple(value.shape)} does not fit in {tuple(tensor.shape)}")
