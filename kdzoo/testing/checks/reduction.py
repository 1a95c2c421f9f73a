"""Is the loss a mean over the batch, independent of its order?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import fmean, variance

import torch
from torch import Tensor

from kdzoo.testing.check import Wrong, check
from kdzoo.testing.rehearsal import Rehearsal, picked, picked_batch, rehearse, relative, value
from kdzoo.testing.subject import Subject

_TOLERANCE = 1e-3

_ORDERS = 5
"""Number of orders; a loss between neighbours may be nearly the same in one of them."""

_DRAWS = 32
"""Number of draws of a loss with random numbers, whose means are compared."""

_SIGMAS = 5.0
"""Largest difference of two such means in standard errors."""

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
        loss = lesson.fixed()
        once_loss = loss(batch=picked_batch(lesson.batch, torch.arange(size)))
        if once_loss.ndim and once_loss.shape != (size,):
            yield f"the loss has the shape {tuple(once_loss.shape)}, neither (B,) nor a scalar", "forward"
        student, teacher = picked(lesson.student, twice), picked(lesson.teacher, twice)
        twice_loss = loss(student, teacher, picked_batch(lesson.batch, twice))
        ratio = value(twice_loss) / (value(once_loss) or 1e-12)
        least, most = _RATIOS.get(lesson.knowledge.kind, _NEAR_ONE)
        if not least < ratio < most:
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
        look = _on_average if _is_random(lesson) else _in_order
        fault = next(filter(None, (look(lesson, number) for number in range(_ORDERS))), None)
        if fault is not None:
            yield fault, "forward"


def _is_random(lesson: Rehearsal) -> bool:
    """Whether another seed changes the loss."""
    return not torch.equal(lesson.fixed(0)(), lesson.fixed(1)())


def _ordered(lesson: Rehearsal, number: int) -> tuple[Tensor, Callable[[Callable[..., Tensor]], Tensor]]:
    """The ``number``-th order, and the loss in it."""
    order = torch.randperm(len(lesson.batch), generator=torch.Generator().manual_seed(number))
    given = picked(lesson.student, order), picked(lesson.teacher, order), picked_batch(lesson.batch, order)
    return order, lambda loss: loss(*given)


def _in_order(lesson: Rehearsal, number: int) -> str | None:
    """The mistake in the ``number``-th order, if any."""
    order, in_order = _ordered(lesson, number)
    loss = lesson.fixed()
    first, second = loss(), in_order(loss)
    if relative(value(first), value(second)) > _TOLERANCE:
        return f"in another order the loss is {value(second):.6g} instead of {value(first):.6g}"
    if first.ndim and not torch.allclose(first[order], second, rtol=_TOLERANCE, atol=1e-6):
        return "in another order the samples' losses are others"
    return None


def _on_average(lesson: Rehearsal, number: int) -> str | None:
    """The same for the means of a random loss: a mask may depend on a sample's position in the batch."""
    _, in_order = _ordered(lesson, number)
    first = [value(lesson.fixed(seed)()) for seed in range(_DRAWS)]
    second = [value(in_order(lesson.fixed(_DRAWS + seed))) for seed in range(_DRAWS)]
    error = math.sqrt((variance(first) + variance(second)) / _DRAWS)
    ours, theirs = fmean(first), fmean(second)
    if abs(ours - theirs) > _SIGMAS * error + _TOLERANCE * abs(ours):
        return f"in another order the loss is {theirs:.6g} on average instead of {ours:.6g}"
    return None
