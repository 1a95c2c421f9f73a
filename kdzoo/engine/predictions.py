"""What a network predicts for a split, counted: every figure of it comes out of one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kdzoo.api.batch import UNLABELLED, Batch

if TYPE_CHECKING:
    from kdzoo.engine.run import TrainingRun

_BINS = 15
"""Of confidence, of equal width, as in Guo et al. 2017."""

_MOST_CLASSES = 200
"""With more, the confusion matrix is not kept: its size grows with their square."""

_NONE = -1
"""Stands for no teacher, and for no class of the data."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Counts over the labelled samples of a split, all float64 on the CPU; figures are in percent.

    Without any label they are None, but for the agreement with the teacher, which is over all samples.

    Attributes:
        labels: (K,) samples of each class.
        found: (K,) samples that were predicted to be of each class.
        right: (K,) samples of each class that were predicted to be of it.
        bins: (3, 15) for each bin of confidence: samples, right ones, sum of their confidence.
        totals: (2,) samples whose class is among the five most probable, for which the teacher is right.
        agreements: (2,) of all samples, labelled or not: for which the teacher predicts the same, and their number.
        confusion: (K, K) true class by predicted class; (0, 0) with more than 200 classes.
    """

    labels: Tensor
    found: Tensor
    right: Tensor
    bins: Tensor
    totals: Tensor
    agreements: Tensor
    confusion: Tensor

    @property
    def accuracy(self) -> float | None:
        """Top-1."""
        return self._percent(self.right.sum())

    @property
    def top5(self) -> float | None:
        """Share of samples whose class is among the five with the largest logits."""
        return self._percent(self.totals[0])

    @property
    def agreement(self) -> float:
        """Share of samples for which student and teacher predict the same class, right or wrong."""
        return 100.0 * float(self.agreements[0]) / max(float(self.agreements[1]), 1.0)

    @property
    def teacher(self) -> float | None:
        """The teacher's top-1 accuracy."""
        return self._percent(self.totals[1])

    @property
    def macro_f1(self) -> float | None:
        """Mean of F1 over the classes that are labelled or predicted at least once."""
        sizes = self.labels + self.found
        seen = sizes > 0
        if not self.labels.sum():
            return None
        return 100.0 * float((2 * self.right[seen] / sizes[seen]).sum()) / int(seen.sum())

    @property
    def ece(self) -> float | None:
        """Expected calibration error (Guo et al. 2017): over the bins, the mean of |accuracy - confidence|."""
        return self._percent((self.bins[1] - self.bins[2]).abs().sum())

    def by_class(self, classes: Iterable[str]) -> dict[str, Any]:
        """As plain data: each class with its samples and its accuracy, None without samples; the confusion matrix."""
        rows = zip(classes, self.labels.tolist(), self.right.tolist(), strict=True)
        per_class = [
            {"name": name, "samples": int(number), "accuracy": 100.0 * right / number if number else None}
            for name, number, right in rows
        ]
        return {"classes": per_class, "confusion": self.confusion.long().tolist()}

    def _percent(self, count: Tensor) -> float | None:
        samples = float(self.labels.sum())
        return 100.0 * float(count) / samples if samples else None


def count(rows: Tensor, classes: int) -> dict[str, Tensor]:
    """The counts of :class:`Predictions` by attribute, of one process.

    Args:
        rows: (5, n) float64: class id or -1 without a label, predicted class id or -1 for another class, whether the
            class is among the five most probable, confidence in [0, 1], the teacher's predicted class or -1.
        classes: K.
    """
    same = (rows[1] == rows[4]) & (rows[1] != _NONE)
    agreements = torch.tensor([int(same.sum()), rows.shape[1]], dtype=torch.float64)
    rows = rows[:, rows[0] != UNLABELLED]
    target, found, teacher = rows[0].long(), rows[1].long(), rows[4].long()
    right = found == target
    bins = (rows[3] * _BINS).ceil().long().clamp(1, _BINS) - 1  # each is open below and closed above
    known = found != _NONE
    size = classes if classes <= _MOST_CLASSES else 0
    pairs = torch.bincount((target * size + found)[known], minlength=size**2)[: size**2]
    return {
        "labels": torch.bincount(target, minlength=classes).double(),
        "found": torch.bincount(found[known], minlength=classes).double(),
        "right": torch.bincount(target[right], minlength=classes).double(),
        "bins": torch.stack(
            [
                torch.bincount(bins, weights=one, minlength=_BINS)
                for one in (torch.ones_like(rows[3]), right.double(), rows[3])
            ]
        ),
        "totals": torch.stack([rows[2].sum(), (teacher == target).sum()]).double(),
        "agreements": agreements,
        "confusion": pairs.reshape(size, size).double(),
    }


def predictions(run: TrainingRun, split: Iterable[Batch], teacher: str | None) -> Predictions:
    """One pass of the student, and of ``teacher`` if there is one, in eval mode, summed over all processes."""
    classes = len(run.data.classes)
    parts = [torch.zeros(5, 0, dtype=torch.float64)]
    with run.measuring():
        for batch in split:
            assert batch.target is not None
            logits = run.answers.unremembered("student", batch).logits
            five = _classes(run, "student", logits.topk(min(5, logits.shape[1]), dim=1).indices)
            rows = [
                batch.target,
                _classes(run, "student", logits.argmax(dim=1)),
                (five == batch.target[:, None]).any(dim=1),
                logits.double().softmax(dim=1).amax(dim=1),
                torch.full_like(batch.target, _NONE)
                if teacher is None
                else _classes(run, teacher, run.answers.unremembered(teacher, batch).logits.argmax(dim=1)),
            ]
            parts.append(torch.stack([row.double() for row in rows]).cpu())
    counts = count(torch.cat(parts, dim=1), classes)
    return Predictions(**_summed(run, counts))


def _classes(run: TrainingRun, role: str, places: Tensor) -> Tensor:
    """Places among the logits of ``role`` as class ids of the data, -1 where they stand for none.

    Where the data has no classes they stay as they are.
    """
    if not run.data.classes:
        return places
    columns = run.columns(role)
    if columns is not None:
        return columns.to_classes(places)
    return places.where(places < len(run.data.classes), _NONE)


def _summed(run: TrainingRun, counts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if run.fabric.world_size == 1:
        return dict(counts)
    flat = torch.cat([one.flatten() for one in counts.values()]).to(run.device)
    summed = run.fabric.all_reduce(flat, reduce_op="sum")
    assert isinstance(summed, Tensor)
    parts = torch.split_with_sizes(summed.cpu(), [one.numel() for one in counts.values()])
    return {name: part.reshape(one.shape) for (name, one), part in zip(counts.items(), parts, strict=True)}
