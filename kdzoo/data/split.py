"""Which samples belong to which split, and which of them show their label.

Every choice takes the first so many of one seeded order of each class, so that a smaller subset lies within a
larger one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kdzoo.api.batch import UNLABELLED
from kdzoo.counter_rng import key, permutation
from kdzoo.data.listing import Targets


@dataclass(frozen=True, eq=False)
class Split:
    """Samples of a listing.

    Attributes:
        index: (n,) int64 rows of the listing, ascending.
        target: (n,) int64 class ids, :data:`kdzoo.api.UNLABELLED` where withheld.

    """

    index: Tensor
    target: Tensor

    def __len__(self) -> int:
        return self.index.shape[0]

    def without(self, bad: Collection[int]) -> Split:
        """The same split less these rows."""
        good = ~torch.isin(self.index, torch.tensor(sorted(bad), dtype=torch.int64))
        return Split(self.index[good], self.target[good])


def take(targets: Targets, bad: Collection[int], seed: int, per_class: int | None = None) -> Split:
    """All readable samples, or the first ``per_class`` of each class."""
    return _split(targets, [rows[:per_class] for rows in _by_class(targets, bad, seed)])


def divide(
    targets: Targets,
    bad: Collection[int],
    seed: int,
    fraction: float,
    train_per_class: int | None = None,
    labels_per_class: int | None = None,
) -> tuple[Split, Split | None]:
    """Cut a validation split from the training samples, and both down to size.

    Args:
        targets: (n,) class ids of all training samples.
        bad: rows that cannot be read.
        seed: of the order within each class.
        fraction: part of each class that is set aside for validation, before ``train_per_class`` applies; one
            sample at least, and one is left. 0: no validation split.
        train_per_class: keep so many training samples of each class. Validation shrinks in proportion, or it
            would take longer than training on a small subset.
        labels_per_class: keep so many training labels of each class.

    Returns:
        The training and the validation split.

    """
    kept, shown, validation = [], [], []
    for rows in _by_class(targets, bad, seed):
        aside = min(max(1, round(fraction * len(rows))), len(rows) - 1) if fraction else 0
        if train_per_class is None:
            validation.append(rows[:aside])
        else:
            share = max(1, round(train_per_class * fraction / (1 - fraction)))
            validation.append(rows[: min(aside, share)])
        kept.append(rows[aside:][:train_per_class])
        shown.append(kept[-1][:labels_per_class])
    train = _split(targets, kept)
    labelled = torch.isin(train.index, torch.cat(shown))
    train = Split(train.index, train.target.where(labelled, UNLABELLED))
    held_out = _split(targets, validation)
    return train, held_out if len(held_out) else None


def _by_class(targets: Targets, bad: Collection[int], seed: int) -> Iterator[Tensor]:
    """The readable rows of each class in their seeded order."""
    target = torch.as_tensor(targets)
    order = permutation(key("split", seed), torch.arange(len(target)))
    order = order[~torch.isin(order, torch.tensor(sorted(bad), dtype=torch.int64))]
    for number in torch.unique(target):
        yield order[target[order] == number]


def _split(targets: Targets, rows: list[Tensor]) -> Split:
    index = torch.cat(rows).sort().values
    return Split(index, torch.as_tensor(targets)[index])
