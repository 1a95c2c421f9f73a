"""Loss terms of a generator, from networks' outputs for its images. Computed in at least float32."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import at_least_float32


def confidence_loss(logits: Tensor) -> Tensor:
    """Cross-entropy with the predicted class: Chen et al. 2019, equation 3.

    Args:
        logits: (B, K) of the teacher.

    Returns:
        (B,), from 0, where the teacher is certain, to log K.

    """
    logits = at_least_float32(logits)
    return functional.cross_entropy(logits, logits.detach().argmax(dim=1), reduction="none")


def balance_loss(logits: Tensor) -> Tensor:
    """Negative entropy of the mean class probabilities, in nats: Chen et al. 2019, equation 5.

    Args:
        logits: (B, K) of the teacher.

    Returns:
        A scalar, from -log K, where all classes are equally frequent, to 0, where there is only one.

    """
    log_p = at_least_float32(logits).log_softmax(dim=1)
    log_mean = torch.logsumexp(log_p, dim=0) - math.log(len(log_p))
    return (log_mean.exp() * log_mean).sum()


def statistics_distance(
    means: Iterable[tuple[Tensor, Tensor]], variances: Iterable[tuple[Tensor, Tensor]]
) -> Tensor:
    """Distance of a batch's statistics from the BatchNorm layers' running ones: Yin et al. 2020, equation 4.

    Args:
        means: for each layer, those of the batch and the running ones, each (C,).
        variances: the same for variances.

    Returns:
        A scalar: mean squares over the channels, summed over the layers. The paper has Euclidean norms.

    """
    distances = [
        (at_least_float32(one) - at_least_float32(other)).square().mean()
        for one, other in (*means, *variances)
    ]
    return torch.stack(distances).sum()


def disagreement(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Jensen-Shannon divergence of the class probabilities, in nats.

    It is bounded, so that a generator that maximises it does not prefer images with extreme logits.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        temperature: > 0; divides both.

    Returns:
        (B,), from 0 to log 2.

    """
    first, second = (
        functional.log_softmax(at_least_float32(one) / temperature, dim=1) for one in (student, teacher)
    )
    middle = torch.logaddexp(first, second) - math.log(2)
    return ((first.exp() * (first - middle)) + (second.exp() * (second - middle))).sum(dim=1) / 2
