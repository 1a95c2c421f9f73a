"""Holistic knowledge: Zhou et al. 2021."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import Reduction, at_least_float32, reduce, without_autocast


def neighbour_graph(logits: Tensor, neighbours: int = 8) -> Tensor:
    """Each sample's nearest samples by the cosine of their class probabilities; Zhou et al. 2021, section 3.2.

    The sample itself is one of its neighbours, as in the authors' code.

    Args:
        logits: (B, K), which get no gradient.
        neighbours: number of neighbours, at least 1; in a smaller batch, all samples are connected.

    Returns:
        (B, B): at [i, j], one divided by the number of neighbours if j is a neighbour of i, else 0. Rows sum
        to 1.

    Raises:
        ValueError: not a matrix, or ``neighbours`` is below 1.
    """
    if logits.ndim != 2 or neighbours < 1:
        raise ValueError(
            f"needs (B, K) logits and at least 1 neighbour, not {tuple(logits.shape)} and {neighbours}"
        )
    with torch.no_grad(), without_autocast(logits):
        direction = functional.normalize(at_least_float32(logits).softmax(dim=1), dim=1)
        cosine = (direction @ direction.T).fill_diagonal_(2.0)  # above every cosine: itself first
        nearest = cosine.topk(min(neighbours, len(logits)), dim=1).indices
        return torch.zeros_like(cosine).scatter_(1, nearest, 1.0 / nearest.shape[1])


def aggregate(vertices: Tensor, graph: Tensor, hops: int = 1) -> Tensor:
    """Input of a topology-adaptive graph convolution: [X, AX, ..., A^hops X]; Zhou et al. 2021, equation 4.

    Args:
        vertices: (B, D).
        graph: (B, B), such as :func:`neighbour_graph`.
        hops: at least 0.

    Returns:
        (B, D · (hops + 1)).

    Raises:
        ValueError: shapes that do not fit.
    """
    if vertices.ndim != 2 or graph.shape != (len(vertices), len(vertices)):
        raise ValueError(f"needs (B, D) and (B, B), not {tuple(vertices.shape)} and {tuple(graph.shape)}")
    with without_autocast(vertices):
        vertices = at_least_float32(vertices)
        reached = [vertices]
        for _ in range(hops):
            reached.append(graph.to(vertices.dtype) @ reached[-1])
        return torch.cat(reached, dim=1)


def info_nce(
    student: Tensor,
    teacher: Tensor,
    temperature: float = 0.07,
    *,
    left_out: Tensor | None = None,
    reduction: Reduction = "none",
) -> Tensor:
    """InfoNCE over the batch, in both directions; Zhou et al. 2021, equation 6.

    Args:
        student: (B, D) embeddings, not necessarily normalised: they are compared by cosine.
        teacher: (B, D) embeddings in the same space.
        temperature: > 0.
        left_out: (B, B) bool, pairs that are not used as negatives, such as samples of one class; its
            diagonal is ignored.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Returns:
        The cross-entropy of student to teacher plus that of teacher to student.

    Raises:
        ValueError: shapes that differ, or are not matrices.
    """
    if student.shape != teacher.shape or student.ndim != 2:
        raise ValueError(
            f"embeddings must be (B, D) on both sides, not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    with without_autocast(student):
        student = functional.normalize(at_least_float32(student), dim=1)
        teacher = functional.normalize(at_least_float32(teacher), dim=1)
        likeness = student @ teacher.T / temperature
        if left_out is not None:
            diagonal = torch.eye(len(likeness), dtype=torch.bool, device=likeness.device)
            likeness = likeness.masked_fill(left_out & ~diagonal, -torch.inf)
        loss = likeness.logsumexp(dim=1) + likeness.logsumexp(dim=0) - 2 * likeness.diagonal()
    return reduce(loss, reduction)
