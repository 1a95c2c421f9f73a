"""Meta-gradients of a common initialisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pull(parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """A scalar whose gradient with respect to ``parameters`` is ``gradients``; its value is meaningless.

    Args:
        parameters: any shapes; at least one.
        gradients: the same shapes; constants.

    """
    products = [(one * grad.detach()).sum() for one, grad in zip(parameters, gradients, strict=True)]
    return torch.stack(products).sum()


def reptile_gradients(start: Sequence[Tensor], end: Sequence[Tensor], scale: float) -> list[Tensor]:
    """(start - end) times ``scale``: a descent step moves towards the end (Nichol et al. 2018)."""
    return [(one.detach() - other.detach()) * scale for one, other in zip(start, end, strict=True)]


def moving(before: Tensor | None, now: Tensor, momentum: float) -> Tensor:
    """The updated moving average, with the gradient of ``now``; ``now`` itself if there is no past."""
    return now if before is None else momentum * before + (1 - momentum) * now
