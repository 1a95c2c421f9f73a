"""Losses for generated images, from trained networks.

Computed in at least float32; smaller is better.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import at_least_float32, softened_kl


def one_hot_loss(logits: Tensor) -> Tensor:
    """Cross-entropy with the predicted class (Chen et al. 2019, equation 3).

    Args:
        logits: (B, K) of the teacher.

    Returns:
        (B,), from 0, where the network is certain, to log K.

    """
    loss: Tensor = -at_least_float32(logits).log_softmax(dim=1).amax(dim=1)
    return loss


def balance_loss(logits: Tensor) -> Tensor:
    """Negative entropy of the mean class probabilities (Chen et al. 2019, equation 5), in nats.

    Args:
        logits: (B, K) of the teacher.

    Returns:
        A scalar from -log K, where all classes are equally frequent, to 0, where there is only one.

    """
    mean = at_least_float32(logits).softmax(dim=1).mean(dim=0)
    entropy: Tensor = torch.special.entr(mean.clamp_min(torch.finfo(mean.dtype).tiny)).sum()
    return -entropy


def activation_loss(embedding: Tensor) -> Tensor:
    """Minus the mean absolute value of the embedding (Chen et al. 2019, equation 4).

    Args:
        embedding: (B, D) of the teacher.

    Returns:
        (B,), at most 0. Unbounded below.

    """
    return -at_least_float32(embedding).abs().mean(dim=1)


def adversarial_loss(student: Tensor, teacher: Tensor, *, agreed_only: bool = False) -> Tensor:
    """Minus KL(teacher || student), which favours images on which the student differs from the teacher.

    Neither side is detached: the gradient reaches the image through both (Micaelli & Storkey 2019, section 3).

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        agreed_only: 0 for images for which the two predict different classes, so that the generator stays
            near the student's decision boundary and close to the data (as in the code of Fang et al. 2022).

    Returns:
        (B,), at most 0.

    """
    loss = -softened_kl(student, teacher)
    if agreed_only:
        loss = loss * (student.argmax(dim=1) == teacher.argmax(dim=1))
    return loss


def attention_gap(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of two normalised attention maps (Zagoruyko & Komodakis 2017), mean over positions.

    A map is the mean over the channels of the squared feature, flattened and scaled to unit length.

    Args:
        student: (B, C, H, W).
        teacher: (B, C', H, W).

    Returns:
        (B,).

    Raises:
        ValueError: heights and widths that differ.

    """
    if student.shape[-2:] != teacher.shape[-2:]:
        raise ValueError(f"maps of {tuple(student.shape[-2:])} and {tuple(teacher.shape[-2:])} pixels")
    one, other = (
        functional.normalize(at_least_float32(side).pow(2).mean(dim=1).flatten(1))
        for side in (student, teacher)
    )
    return (one - other).pow(2).mean(dim=1)
