"""Weights and merged targets of several teachers, as pure functions of their logits.

They take any floating dtype, compute in at least float32, and detach nothing. M is the number of teachers, B
of samples, K of classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.api import at_least_float32


def mean_logits(logits: Sequence[Tensor]) -> Tensor:
    """The mean of the teachers' logits, which is the log of their normalised geometric mean; (B, K)."""
    return torch.stack([at_least_float32(one) for one in logits]).mean(dim=0)


def mean_probabilities(logits: Sequence[Tensor], temperature: float = 1.0) -> Tensor:
    """Logits whose softmax at ``temperature`` is the mean of the teachers' softmaxes at ``temperature``.

    Args:
        logits: (B, K) of each teacher.
        temperature: > 0.

    Returns:
        (B, K): temperature x the log of the mean probabilities.

    """
    log_p = torch.stack([F.log_softmax(at_least_float32(one) / temperature, dim=1) for one in logits])
    return temperature * (log_p.logsumexp(dim=0) - torch.log(log_p.new_tensor(float(len(logits)))))


def entropy_weights(logits: Sequence[Tensor], *, normalize: bool = True) -> Tensor:
    """Weights that decrease with the entropy of a teacher's prediction; Kwon et al. 2020.

    w_m = (1 - H_m / sum H) / (M - 1) with the entropy H_m of the teacher's softmax.

    Args:
        logits: (B, K) of each of M >= 2 teachers.
        normalize: divide by M - 1, so that a sample's weights sum to 1.

    Returns:
        (M, B).

    Raises:
        ValueError: fewer than two teachers.

    """
    _several(logits)
    log_p = torch.stack([F.log_softmax(at_least_float32(one), dim=1) for one in logits])
    entropy = -(log_p.exp() * log_p).sum(dim=2)
    share = entropy / entropy.sum(dim=0).clamp_min(torch.finfo(entropy.dtype).tiny)
    weights = 1 - share
    return weights / (len(logits) - 1) if normalize else weights


def confidence_weights(logits: Sequence[Tensor], target: Tensor) -> Tensor:
    """Weights that decrease with a teacher's cross-entropy; Zhang et al. 2022, equations 3 and 4.

    w_m = (1 - softmax_m(CE_m)) / (M - 1), where CE_m is teacher m's cross-entropy with the label.

    Args:
        logits: (B, K) of each of M >= 2 teachers.
        target: (B,) class ids; with a negative one (no label), all teachers have the same weight.

    Returns:
        (M, B); the weights of a sample sum to 1, and none is above 1 / (M - 1).

    Raises:
        ValueError: fewer than two teachers.

    """
    _several(logits)
    losses = torch.stack(
        [F.cross_entropy(at_least_float32(one), target.clamp_min(0), reduction="none") for one in logits]
    )
    losses = torch.where(target < 0, torch.zeros_like(losses), losses)
    return (1 - losses.softmax(dim=0)) / (len(logits) - 1)


def gradient_weights(
    student: Tensor,
    teachers: Sequence[Tensor],
    *,
    temperature: float = 4.0,
    tolerance: float = 0.6,
    steps: int = 100,
) -> Tensor:
    """Weights of the minimum-norm combination of the teachers' gradients; Du et al. 2020, equation 5.

    Minimises ||sum_m w_m g_m||² under sum w = 1 and 0 <= w_m <= C, where g_m is the gradient of teacher m's softened
    divergence with respect to the student's logits: the direction on which the teachers agree. Solved by projected
    gradient descent on the device.

    Args:
        student: (B, K) logits.
        teachers: (B, K) logits of each of M >= 2 teachers.
        temperature: > 0, temperature of the divergence.
        tolerance: C, the largest weight of a teacher; at least 1 / M is used.
        steps: steps of the descent.

    Returns:
        (M,) weights, detached.

    Raises:
        ValueError: fewer than two teachers.

    """
    _several(teachers)
    with torch.no_grad():
        own = (at_least_float32(student) / temperature).softmax(dim=1)
        gradients = torch.stack(
            [own - (at_least_float32(one) / temperature).softmax(dim=1) for one in teachers]
        )
        gram = gradients.flatten(1) @ gradients.flatten(1).T
        count = len(teachers)
        cap = max(tolerance, 1 / count)
        weights = gram.new_full((count,), 1 / count)
        # The trace bounds the largest eigenvalue, so its inverse is a step size that converges.
        step = 1 / gram.diagonal().sum().clamp_min(torch.finfo(gram.dtype).tiny)
        for _ in range(steps):
            weights = _to_capped_simplex(weights - step * (gram @ weights), cap)
        return weights


def merge_partitions(
    probabilities: Sequence[Tensor],
    groups: Sequence[Sequence[int]],
    classes: int,
    *,
    active: Tensor | None = None,
    steps: int = 50,
) -> Tensor:
    """Merge experts on subsets of the classes into one distribution; Hinton et al. 2015, section 5.4.

    The q that minimises sum_m KL(p_m || q_m), where q_m is q over expert m's classes, with all others summed
    into one dustbin class. It is found by expectation maximisation, which needs no step size: the dustbin's
    probability is distributed in proportion to q.

    Args:
        probabilities: for each of M experts (B, C_m + 1), with the dustbin as the last column; (B, K) for an
            expert on all classes.
        groups: the class ids of each expert, in the order of its columns.
        classes: K, number of classes.
        active: (B, M) mask of the experts used for a sample; default: all. A sample without any gets uniform
            q.
        steps: number of iterations.

    Returns:
        (B, K), each row sums to 1.

    Raises:
        ValueError: a class that no expert knows, or columns that do not fit ``groups``.

    """
    if {number for group in groups for number in group} != set(range(classes)):
        raise ValueError("every class must belong to at least one expert")
    batch = probabilities[0].shape[0]
    parts, sizes = [], []
    for number, (given, group) in enumerate(zip(probabilities, groups, strict=True)):
        own = len(group)
        if given.shape[1] != own + (own < classes):
            raise ValueError(
                f"expert {number} knows {own} of {classes} classes and gives {given.shape[1]} probabilities"
            )
        column = {known: place for place, known in enumerate(group)}
        parts.append(torch.tensor([column.get(one, own) for one in range(classes)], device=given.device))
        sizes.append(given.shape[1])
    spread = torch.stack(
        [at_least_float32(one)[:, part] for one, part in zip(probabilities, parts, strict=True)]
    )
    if active is not None:
        spread = spread * active.T.unsqueeze(2)
    q = spread.new_full((batch, classes), 1 / classes)
    tiny = torch.finfo(q.dtype).tiny
    for _ in range(steps):
        shares = []
        for part, size in zip(parts, sizes, strict=True):
            seen = q.new_zeros(batch, size).index_add(1, part, q)
            shares.append(q / seen[:, part].clamp_min(tiny))
        new = (spread * torch.stack(shares)).sum(dim=0)
        total = new.sum(dim=1, keepdim=True)
        q = torch.where(total > 0, new / total.clamp_min(tiny), q)
    return q


def _to_capped_simplex(weights: Tensor, cap: float) -> Tensor:
    """The closest point with sum 1 and every entry in [0, cap], by bisection on the shift."""
    low, high = weights.min() - 1, weights.max()
    for _ in range(40):
        middle = (low + high) / 2
        too_much = (weights - middle).clamp(0, cap).sum() > 1
        low, high = torch.where(too_much, middle, low), torch.where(too_much, high, middle)
    return (weights - (low + high) / 2).clamp(0, cap)


def _several(logits: Sequence[Tensor]) -> None:
    if len(logits) < 2:
        raise ValueError("weights need at least two teachers")
