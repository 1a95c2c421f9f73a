"""How much a network's features tell about labels: nearest neighbours, and a linear classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NEIGHBOURS, TEMPERATURE = 20, 0.07
"""Those of DINO (Caron et al. 2021)."""

_ROWS = 1024
"""Queries that are compared with the bank at a time."""


def neighbours(
    queries: Tensor,
    bank: Tensor,
    labels: Tensor,
    *,
    k: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
    themselves: bool = False,
) -> Tensor:
    """The class that the ``k`` nearest rows of the bank vote for, each with the weight exp(cosine / temperature).

    Args:
        queries: (N, D).
        bank: (M, D).
        labels: (M,) int64 class ids of the bank's rows.
        k: number of neighbours; at most all rows vote.
        temperature: divides the cosines.
        themselves: the queries are the bank, and no row votes for itself.

    Returns:
        (N,) class ids.
    """
    bank = functional.normalize(bank.float(), dim=1)
    classes = int(labels.max()) + 1
    number = min(k, len(bank) - themselves)
    found = []
    for start in range(0, len(queries), _ROWS):
        part = functional.normalize(queries[start : start + _ROWS].float(), dim=1)
        cosines = part @ bank.T
        if themselves:
            rows = torch.arange(len(part), device=part.device)
            cosines[rows, rows + start] = -torch.inf
        near, rows = cosines.topk(number, dim=1)
        votes = torch.zeros(len(part), classes, device=part.device)
        votes.scatter_add_(1, labels[rows], ((near - 1) / temperature).exp())
        found.append(votes.argmax(dim=1))
    return torch.cat(found)


def linear(queries: Tensor, features: Tensor, labels: Tensor, *, penalty: float = 1.0) -> Tensor:
    """The class by logistic regression on standardised features, trained to convergence with L-BFGS.

    Args:
        queries: (N, D).
        features: (M, D), to train on.
        labels: (M,) int64 class ids.
        penalty: weight of half the squared norm of the weights, against the sum of the M losses.

    Returns:
        (N,) class ids.
    """
    mean, deviation = features.float().mean(dim=0), features.float().std(dim=0, correction=0).clamp_min(1e-6)
    ours = (features.float() - mean) / deviation
    with torch.enable_grad():
        layer = nn.Linear(ours.shape[1], int(labels.max()) + 1, device=ours.device)
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
        solver = torch.optim.LBFGS(
            layer.parameters(), max_iter=200, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            solver.zero_grad()
            shrink = penalty / len(ours) / 2 * layer.weight.square().sum()
            total = functional.cross_entropy(layer(ours), labels) + shrink
            total.backward()  # type: ignore[no-untyped-call]  # torch's own is untyped
            return total

        solver.step(loss)  # type: ignore[no-untyped-call]  # as above
    with torch.no_grad():
        parts = [queries[start : start + _ROWS].float() for start in range(0, len(queries), _ROWS)]
        return torch.cat([layer((part - mean) / deviation).argmax(dim=1) for part in parts])


def share_right(found: Tensor, labels: Tensor) -> float:
    """How many are right, in percent."""
    return 100.0 * float((found == labels).float().mean())
