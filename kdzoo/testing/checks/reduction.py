"""Is the loss a mean over the batch, independent of its order?"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from kdzoo.testing.check import Wrong, check
from kdzoo.testing.rehearsal import (
    Rehearsal,
    picked,
    picked_batch,
    rehearse,
    relative,
    same_seed,
    value,
)
from kdzoo.testing.subject import Subject

_TOLERANCE = 1e-3

_ORDERS = 5
"""Number of orders; a loss between neighbours may be nearly the same in one of them."""


@check(
    "mean",
    "knowledge",
    looks_for="a loss that grows with the batch",
    mend="Return (B,) without a reduction, or divide a sum by the batch size.",
)
def grows_with_the_batch(subject: Subject) -> Iterator[Wrong]:
    """With every sample twice, a sum would double."""
    for lesson in rehearse(subject):
        size = len(lesson.batch)
        twice = torch.arange(size).repeat(2)
        same_seed()
        once_loss = lesson.loss(batch=picked_batch(lesson.batch, torch.arange(size)))
        same_seed()
        twice_loss = lesson.loss(
            picked(lesson.student, twice), picked(lesson.teacher, twice), picked_batch(lesson.batch, twice)
        )
        if once_loss.ndim and once_loss.shape != (size,):
            yield f"the loss has the shape {tuple(once_loss.shape)}, neither (B,) nor a scalar", "forward"
        ratio = value(twice_loss) / (value(once_loss) or 1e-12)
        if ratio > 1.9:
            yield f"with every sample twice the loss is {ratio:.2f} times as large", "forward"


@check(
    "batch-order",
    "knowledge",
    looks_for="a loss that depends on the order of the batch",
    mend="Compare all pairs, or declare it: exempt = {'batch-order': 'why'}.",
)
def depends_on_the_order(subject: Subject) -> Iterator[Wrong]:
    """The losses of samples must not depend on their order."""
    for lesson in rehearse(subject):
        fault = next(filter(None, (_in_order(lesson, number) for number in range(_ORDERS))), None)
        if fault is not None:
            yield fault, "forward"


def _in_order(lesson: Rehearsal, number: int) -> str | None:
    """The mistake in the ``number``-th order, if any."""
    size = len(lesson.batch)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(number))
    same_seed()
    first = lesson.loss(batch=picked_batch(lesson.batch, torch.arange(size)))
    same_seed()
    second = lesson.loss(
        picked(lesson.student, order), picked(lesson.teacher, order), picked_batch(lesson.batch, order)
    )
    if relative(value(first), value(second)) > _TOLERANCE:
        return f"in another order the loss is {value(second):.6g} instead of {value(first):.6g}"
    if first.ndim and not torch.allclose(first[order], second, rtol=_TOLERANCE, atol=1e-6):
        return "in another order the samples' losses are others"
    return None
