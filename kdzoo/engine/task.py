"""The supervised loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from kdzoo.api.batch import UNLABELLED
from kdzoo.engine.columns import Columns


def task_loss(logits: Tensor, target: Tensor, columns: Columns | None, smoothing: float) -> Tensor:
    """Cross-entropy in float32, a mean over the labelled samples; zero where none is labelled.

    Args:
        logits: (B, K).
        target: (B,) class ids, :data:`UNLABELLED` where withheld, or (B, K) probabilities.
        columns: which logit stands for which class; None where they are the classes in order.
        smoothing: label smoothing in [0, 1].
    """
    logits = logits.float()
    if target.is_floating_point():
        return functional.cross_entropy(logits, target, label_smoothing=smoothing)
    if columns is not None:
        target = columns.of_classes(target)
    total = functional.cross_entropy(
        logits, target, ignore_index=UNLABELLED, label_smoothing=smoothing, reduction="sum"
    )
    return total / (target != UNLABELLED).sum().clamp(min=1)
