"""Losses that know nothing of kdzoo, and each as a Knowledge in a few lines."""

from __future__ import annotations

from kdzoo.api import LossKnowledge
from torch import Tensor, nn


def logit_distance(student: Tensor, teacher: Tensor, centred: bool = True) -> Tensor:
    """Half the squared distance between two rows of logits (Ba and Caruana 2014, section 2.2).

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        centred: whether each row's mean is taken away first, which no softmax sees.

    Returns:
        (B,), one loss for each sample.

    """
    difference = student - teacher
    if centred:
        difference = difference - difference.mean(dim=1, keepdim=True)
    return 0.5 * (difference**2).sum(dim=1)


class LogitDistance(LossKnowledge):
    """The student's logits are to be the teacher's own, before any softmax."""

    name = "logit-distance"
    kind = "response"
    loss = staticmethod(logit_distance)


class MapDistance(LossKnowledge):
    """The student's last feature map, through a 1x1 convolution where it is narrower, is to be the teacher's.

    Args:
        beta: the distance at which the loss turns from a square into an absolute value.

    """

    name = "map-distance"
    kind = "feature"
    loss = nn.SmoothL1Loss  # a module of another library: an instance is made for each arrow
    on = -1

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__(beta=beta)
