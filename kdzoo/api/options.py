"""Options with named values: check the name; reduce a loss."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from torch import Tensor

Reduction = Literal["none", "mean"]
"""``"none"`` for the loss of each sample, ``"mean"`` for the mean over the batch."""


def choice(name: str, value: object, accepted: Collection[object]) -> None:
    """Refuse an unknown value of an option.

    Args:
        name: the option's name.
        value: the given value.
        accepted: the valid values.

    Raises:
        ValueError: the value is not accepted; the message names the option and the valid values.
    """
    if value not in accepted:
        *others, last = map(repr, accepted)
        raise ValueError(f"{name} must be {', '.join(others)}{' or ' if others else ''}{last}, not {value!r}")


def reduce(loss: Tensor, reduction: Reduction) -> Tensor:
    """The losses (B,) unchanged, or their mean.

    Args:
        loss: (B,).
        reduction: ``"none"`` or ``"mean"``.

    Raises:
        ValueError: ``reduction`` is neither.
    """
    choice("reduction", reduction, ("none", "mean"))
    return loss.mean() if reduction == "mean" else loss
