"""Cross-entropy over a queue of teacher embeddings."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import Reduction, at_least_float32, reduce


def queue_loss(
    student: Tensor,
    teacher: Tensor,
    queue: Tensor,
    *,
    temperature: float = 0.2,
    teacher_temperature: float = 0.01,
    filled: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy between the similarities to the queue that the teacher has and those that the student has.

    SEED (Fang et al. 2021): the queue's rows and the image's own teacher embedding are the classes, the teacher's
    softened similarities the target.

    Args:
        student: (B, D), of any length; it is normalised here.
        teacher: (B, D), the same.
        queue: (K, D), teacher embeddings of other images, the same.
        temperature: divides the student's cosines.
        teacher_temperature: divides the teacher's.
        filled: (K,) bool, which rows count; None for all.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: shapes that do not fit, or an unknown reduction.
    """
    if student.shape != teacher.shape or student.ndim != 2 or queue.shape[1:] != student.shape[1:]:
        raise ValueError(
            "student and teacher must be (B, D) and the queue (K, D), "
            f"not {tuple(student.shape)}, {tuple(teacher.shape)} and {tuple(queue.shape)}"
        )
    student, teacher, queue = (
        functional.normalize(at_least_float32(one), dim=1) for one in (student, teacher, queue)
    )
    ours, theirs = (_scores(one, teacher, queue, filled) for one in (student, teacher))
    target = (theirs / teacher_temperature).softmax(dim=1)
    log = (ours / temperature).log_softmax(dim=1)
    if filled is not None:
        log = log.masked_fill(log.isneginf(), 0)  # their targets are zero, and 0 · -inf is no number
    return reduce(-(target * log).sum(dim=1), reduction)


def _scores(vectors: Tensor, own: Tensor, queue: Tensor, filled: Tensor | None) -> Tensor:
    """(B, 1 + K): the cosine with the image's own teacher embedding, then with the queue's rows."""
    others = vectors @ queue.T
    if filled is not None:
        others = others.masked_fill(~filled, -torch.inf)
    return torch.cat([(vectors * own).sum(dim=1, keepdim=True), others], dim=1)
