"""An epoch in which every class comes equally often."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.counter_rng import key, permutation


def balanced(target: Tensor, index: Tensor, seed: int, epoch: int) -> tuple[Tensor, Tensor]:
    """The order of an epoch with as many samples as there are, as a pure function of (seed, epoch).

    Of a class with too few samples all come equally often, but for one time; of one with too many, others in every
    epoch. Classes differ by one sample at most.

    Args:
        target: (n,) class ids.
        index: (n,) int64 what identifies the samples in the draws.
        seed: of the draws.
        epoch: its number.

    Returns:
        (n,) int64 positions in ``target``, and (n,) int64 how often the same sample came before in this epoch.

    """
    classes, counts = torch.unique(target, return_counts=True)
    share, extra = divmod(len(target), len(classes))
    longer = set(permutation(key("longer classes", seed, epoch), classes)[:extra].tolist())
    shuffled = permutation(key("balanced", seed, epoch), index)
    shuffled = shuffled[torch.argsort(target[shuffled], stable=True)]
    order, copies = [], []
    for place, rows in enumerate(torch.split(shuffled, counts.tolist())):
        turn = torch.arange(share + (place in longer))
        order.append(rows[turn % len(rows)])
        copies.append(turn // len(rows))
    mixed = permutation(key("shuffle", seed, epoch), torch.arange(len(target)))
    return torch.cat(order)[mixed], torch.cat(copies)[mixed]
