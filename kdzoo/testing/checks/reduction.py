"""Is the loss a mean over the batch, independent of its order?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean, variance

import torch
from torch import Tensor

from kdzoo.api.batch import Batch, Output
from kdzoo.testing.check import Wrong, check
from kdzoo.testing.rehearsal import Rehearsal, picked, picked_batch, rehearse, relative, value
from kdzoo.testing.subject import Subject

_TOLERANCE = 1e-3

_ORDERS = 5
"""Number of orders; a loss between neighbours may be nearly the same in one of them."""

_DRAWS = 32
"""Number of draws of a loss with random numbers, whose means are compared."""

_SIGMAS = 4.0
"""Largest difference of two such means, in standard errors."""

Given = tuple[Output, Output, Batch]

_RATIOS = {"relation": (0.45, 1.9)}
"""Allowed ratios of the losses of the doubled and the plain batch. With every sample twice, there are other pairs of
samples, so a loss between samples may change."""

_NEAR_ONE = (0.9, 1.1)
"""The ratios for other kinds; a variance divided by B - 1 stays within them."""


@check(
    "mean",
    "knowledge",
    looks_for="a loss that grows or shrinks with the batch",
    mend="Return (B,) without a reduction, or divide a sum by the batch size once.",
)
def depends_on_the_size(subject: Subject) -> Iterator[Wrong]:
    """With every sample twice, a sum would double, and a mean divided by the batch size would halve."""
    for lesson in rehearse(subject):
        size = len(lesson.batch)
        twice = torch.arange(size).repeat(2)
        plain = lesson.student, lesson.teacher, picked_batch(lesson.batch, torch.arange(size))
        doubled = (
            picked(lesson.student, twice),
            picked(lesson.teacher, twice),
            picked_batch(lesson.batch, twice),
        )
        loss = lesson.fixed()(*plain)
        if loss.ndim and loss.shape != (size,):
            yield f"the loss has the shape {tuple(loss.shape)}, neither (B,) nor a scalar", "forward"
        once_loss, error = _mean_of(lesson, plain)
        twice_loss, other = _mean_of(lesson, doubled)
        ratio, doubt = (
            twice_loss / (once_loss or 1e-12),
            _SIGMAS * (error + other) / (abs(once_loss) or 1e-12),
        )
        least, most = _RATIOS.get(lesson.knowledge.kind, _NEAR_ONE)
        if not least - doubt < ratio < most + doubt:
            yield f"with every sample twice the loss is {ratio:.2f} times as large", "forward"


@check(
    "batch-order",
    "knowledge",
    looks_for="a loss that depends on the order of the batch",
    mend="Compare all pairs, or declare it: exempt = {'batch-order': 'why'}.",
)
def depends_on_the_order(subject: Subject) -> Iterator[Wrong]:
    """The losses of samples must not depend on their order; of a random loss, means of many draws."""
    for lesson in rehearse(subject):
        fault = next(filter(None, (_in_order(lesson, number) for number in range(_ORDERS))), None)
        if fault is not None:
            yield fault, "forward"


def _is_random(lesson: Rehearsal) -> bool:
    """Whether another seed changes the loss."""
    return not torch.equal(lesson.fixed(0)(), lesson.fixed(1)())


def _mean_of(lesson: Rehearsal, given: Given, first: int = 0) -> tuple[float, float]:
    """The loss and its standard error: of a random loss, over draws with seeds from ``first`` on."""
    if not _is_random(lesson):
        return value(lesson.fixed()(*given)), 0.0
    draws = [value(lesson.fixed(seed)(*given)) for seed in range(first, first + _DRAWS)]
    return fmean(draws), math.sqrt(variance(draws) / _DRAWS)


def _ordered(lesson: Rehearsal, order: Tensor) -> Given:
    return picked(lesson.student, order), picked(lesson.teacher, order), picked_batch(lesson.batch, order)


def _in_order(lesson: Rehearsal, number: int) -> str | None:
    """The mistake in the ``number``-th order, if any."""
    size = len(lesson.batch)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(number))
    plain = lesson.student, lesson.teacher, picked_batch(lesson.batch, torch.arange(size))
    if _is_random(lesson):  # a mask may depend on the sample's position in the batch
        (ours, error), (theirs, other) = (
            _mean_of(lesson, plain),
            _mean_of(lesson, _ordered(lesson, order), _DRAWS),
        )
        if abs(ours - theirs) > _SIGMAS * (error + other) + _TOLERANCE * abs(ours):
            return f"in another order the loss is {theirs:.6g} on average instead of {ours:.6g}"
        return None
    loss = lesson.fixed()
    first, second = loss(*plain), loss(*_ordered(lesson, order))
    if relative(value(first), value(second)) > _TOLERANCE:
        return f"in another order the loss is {value(second):.6g} instead of {value(first):.6g}"
    if first.ndim and not torch.allclose(first[order], second, rtol=_TOLERANCE, atol=1e-6):
        return "in another order the samples' losses are others"
    return None
