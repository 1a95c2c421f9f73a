"""Similarity of a teacher and an untrained student: Dong, Li and Wei 2023 (DisWOT), section 3.2."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import at_least_float32


def class_gradient(logits: Tensor, embedding: Tensor, target: Tensor) -> Tensor:
    """The gradient of the mean cross-entropy with respect to a linear classifier's weight, in closed form.

    Row k is the direction in the embedding associated with class k. It has no gradient.

    Args:
        logits: (B, K).
        embedding: (B, D), the classifier's input.
        target: (B,) int64 class ids in [0, K).

    Returns:
        (K, D), in at least float32.

    Raises:
        ValueError: shapes that do not fit.

    """
    if logits.ndim != 2 or embedding.ndim != 2 or not len(logits) == len(embedding) == len(target):
        raise ValueError(
            f"logits must be (B, K), embedding (B, D) and target (B,), not {tuple(logits.shape)}, "
            f"{tuple(embedding.shape)} and {tuple(target.shape)}"
        )
    logits, embedding = (at_least_float32(one) for one in (logits, embedding))
    wrong = logits.softmax(dim=1) - functional.one_hot(target, logits.shape[1])
    return wrong.mT @ embedding / len(logits)


def gram_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Frobenius norm of the difference of two Gram matrices, each with unit-length rows.

    For feature maps, (B, C, H, W), it compares relations between samples; for class gradients, (K, D),
    relations between classes. Only the first dimensions must agree.

    Args:
        student: (N, ...).
        teacher: (N, ...).

    Returns:
        A scalar ≥ 0, in at least float32; 0 for equal relations.

    Raises:
        ValueError: the numbers of rows differ.

    """
    if student.shape[0] != teacher.shape[0] or min(student.ndim, teacher.ndim) < 2:
        raise ValueError(
            f"both sides need the same number of rows, not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    grams = []
    for one in (student, teacher):
        rows = at_least_float32(one).flatten(1)
        grams.append(functional.normalize(rows @ rows.mT, dim=1))
    distance: Tensor = torch.linalg.matrix_norm(grams[0] - grams[1])
    return distance
