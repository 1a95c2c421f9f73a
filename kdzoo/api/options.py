"""Options that are words: an unknown one is refused, and a loss is reduced as asked."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from torch import Tensor

Reduction = Literal["none", "mean"]
"""``"none"`` for the loss of each sample, ``"mean"`` for the mean over the batch."""


def choice(name: str, value: object, accepted: Collection[object]) -> None:
    """Refuse a value that an option does not have.

    Args:
        name: of the option.
        value: what was passed.
        accepted: what may be passed.

    Raises:
        ValueError: names the option, what it accepts, and the value.
    """
    if value not in accepted:
        *others, last = map(repr, accepted)
        raise ValueError(f"{name} must be {', '.join(others)}{' or ' if others else ''}{last}, not {value!r}")


def reduce(loss: Tensor, reduction: Reduction) -> Tensor:
    """The losses (B,) as they are, or their mean.

    Args:
        loss: (B,).
        reduction: ``"none"`` or ``"mean"``.

    Raises:
        ValueError: another word.
    """
    choice("reduction", reduction, ("none", "mean"))
    return loss.mean() if reduction == "mean" else loss
