"""Losses without any reference to kdzoo, and a Knowledge for each in a few lines."""

from __future__ import annotations

from kdzoo.api import LossKnowledge
from torch import Tensor, nn


def logit_distance(student: Tensor, teacher: Tensor, centred: bool = True) -> Tensor:
    """Half the squared distance between two rows of logits (Ba and Caruana 2014, section 2.2).

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        centred: subtract each row's mean first, which does not change the softmax.

    Returns:
        (B,), one loss per sample.

    """
    difference = student - teacher
    if centred:
        difference = difference - difference.mean(dim=1, keepdim=True)
    return 0.5 * (difference**2).sum(dim=1)


class LogitDistance(LossKnowledge):
    """The student's logits match the teacher's, before any softmax."""

    name = "logit-distance"
    kind = "response"
    loss = staticmethod(logit_distance)


class MapDistance(LossKnowledge):
    """The student's last feature map matches the teacher's, through a 1x1 convolution if channels differ.

    Args:
        beta: the distance at which the loss changes from quadratic to linear.

    """

    name = "map-distance"
    kind = "feature"
    loss = nn.SmoothL1Loss  # a module class: each arrow has its own instance
    on = -1

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__(beta=beta)
