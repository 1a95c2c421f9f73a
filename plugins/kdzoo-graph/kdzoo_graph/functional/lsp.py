"""Local structure preserving, for graph networks: Yang et al. 2020."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from kdzoo.api import Reduction, at_least_float32, choice, reduce

Kernel = Literal["euclidean", "linear", "polynomial", "rbf", "laplacian"]


def local_structure(
    nodes: Tensor, edge_index: Tensor, *, kernel: Kernel = "rbf", sigma: float = 100.0
) -> Tensor:
    """Log-probabilities of each node's neighbours, by similarity; Yang et al. 2020, equations 3 and 4.

    Args:
        nodes: (N, D) features of the nodes at one layer.
        edge_index: (2, E) int64, sources in the first row, targets in the second, as in torch_geometric: the
            neighbours of i are the j with an edge (j, i).
        kernel: the similarity of two nodes: ``rbf`` = exp(-‖a - b‖² / 2σ), ``euclidean`` = ‖a - b‖² (as in
            the paper; it gives more weight to distant neighbours), ``linear`` = a·b, ``polynomial`` = (a·b)²,
            or ``laplacian`` = exp(-‖a - b‖₁ / σ), which the authors' code uses instead of ``rbf``.
        sigma: > 0, for ``rbf`` and ``laplacian``.

    Returns:
        (E,): the log of a softmax over the edges that end in the same node.

    Raises:
        ValueError: shapes that do not fit, or an unknown kernel.
    """
    if nodes.ndim != 2 or edge_index.ndim != 2 or edge_index.shape[0] != 2:
        raise ValueError(
            f"needs (N, D) nodes and a (2, E) edge_index, not {tuple(nodes.shape)} and {tuple(edge_index.shape)}"
        )
    choice("kernel", kernel, get_args(Kernel))
    nodes = at_least_float32(nodes)
    source, target = edge_index
    likeness = _likeness(nodes[source], nodes[target], kernel, sigma)
    return likeness - _log_sum_exp(likeness, target, len(nodes))[target]


def lsp_loss(
    student: Tensor,
    teacher: Tensor,
    edge_index: Tensor,
    *,
    kernel: Kernel = "rbf",
    sigma: float = 100.0,
    direction: Literal["paper", "code"] = "paper",
    reduction: Reduction = "mean",
) -> Tensor:
    """Divergence of the local structures of two graph networks on one graph; Yang et al. 2020, equations 5 and 6.

    Args:
        student: (N, D) features of the nodes.
        teacher: (N, D') features of the same nodes; the width may differ.
        edge_index: (2, E) int64, sources in the first row. For networks that build their own graphs: the
            union of both.
        kernel: see :func:`local_structure`.
        sigma: > 0, see :func:`local_structure`.
        direction: ``paper`` = KL(student || teacher), ``code`` = KL(teacher || student).
        reduction: ``"none"`` for (N,), zero where a node has no neighbour; ``"mean"`` for the mean over all nodes.

    Raises:
        ValueError: shapes that do not fit, or an unknown option.
    """
    if student.ndim != 2 or teacher.ndim != 2 or len(student) != len(teacher):
        raise ValueError(
            f"nodes must be (N, D) and (N, D'), not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    choice("direction", direction, ("paper", "code"))
    ours = local_structure(student, edge_index, kernel=kernel, sigma=sigma)
    theirs = local_structure(teacher, edge_index, kernel=kernel, sigma=sigma)
    if direction == "code":
        ours, theirs = theirs, ours
    terms = ours.exp() * (ours - theirs)
    loss = terms.new_zeros(len(student)).index_add(0, edge_index[1], terms)
    return reduce(loss, reduction)


def _likeness(source: Tensor, target: Tensor, kernel: Kernel, sigma: float) -> Tensor:
    """(E,): the kernel of each edge's two ends."""
    if kernel == "euclidean":
        return (source - target).square().sum(dim=1)
    if kernel == "linear":
        return (source * target).sum(dim=1)
    if kernel == "polynomial":
        return (source * target).sum(dim=1).square()
    if kernel == "rbf":
        return ((source - target).square().sum(dim=1) / (-2 * sigma)).exp()
    return ((source - target).abs().sum(dim=1) / -sigma).exp()


def _log_sum_exp(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """(groups,): log-sum-exp of the values of each group; undefined for an empty group."""
    highest = values.new_zeros(groups).scatter_reduce(0, group, values.detach(), "amax", include_self=False)
    total = values.new_zeros(groups).index_add(0, group, (values - highest[group]).exp())
    return torch.where(total > 0, total, 1.0).log() + highest
