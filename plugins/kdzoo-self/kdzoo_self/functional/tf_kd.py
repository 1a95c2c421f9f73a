"""The hand-made teacher: Yuan, Tay, Li, Wang and Feng 2020."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from kdzoo.api import choice


def virtual_logits(
    target: Tensor, classes: int, *, correct: float = 0.99, form: Literal["paper", "code"] = "paper"
) -> Tensor:
    """Logits of a teacher that gives the label the probability ``correct`` and distributes the rest evenly.

    Args:
        target: (B,) int64 class ids in [0, classes).
        classes: K ≥ 2.
        correct: probability of the label, in (0, 1).
        form: ``"paper"``: the logits are log-probabilities, so that softmax at temperature 1 gives
            ``correct`` (equation 8). ``"code"``: they are the probabilities themselves, as in the authors'
            code; the softmax is then nearly uniform at any temperature.

    Returns:
        (B, K) float32.

    Raises:
        ValueError: a value out of its range, or an unknown form.

    """
    choice("form", form, ("paper", "code"))
    if target.ndim != 1 or classes < 2 or not 0 < correct < 1:
        raise ValueError(
            "target must be (B,), classes ≥ 2 and correct in (0, 1), not "
            f"{tuple(target.shape)}, {classes} and {correct}"
        )
    high, low = correct, (1 - correct) / (classes - 1)
    if form == "paper":
        high, low = math.log(high), math.log(low)
    logits = torch.full((target.shape[0], classes), low, dtype=torch.float32, device=target.device)
    return logits.scatter_(1, target.unsqueeze(1), high)
