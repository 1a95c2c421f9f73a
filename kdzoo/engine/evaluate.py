"""The task loss on a batch, and the accuracy on a split."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api.batch import UNLABELLED, Batch, labelled
from kdzoo.backbone import Backbone
from kdzoo.engine.columns import Columns

if TYPE_CHECKING:
    from kdzoo.engine.run import TrainingRun


def task_loss(
    logits: Tensor, target: Tensor, columns: Columns | None, smoothing: float, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy in float32, a mean over the labelled samples; zero where none is labelled.

    With ``weights`` it is that of ``torch.nn.functional.cross_entropy(..., weight=weights)``: class ids give a mean
    weighted by the samples' classes, probabilities a sum of weighted terms divided by the number of samples.

    Args:
        logits: (B, K).
        target: (B,) class ids, :data:`UNLABELLED` where withheld, or (B, K) probabilities, zeros where withheld.
        columns: which logit stands for which class; None if the logits are in the order of the classes.
        smoothing: label smoothing in [0, 1].
        weights: (classes,) of the data's classes; None weighs all alike.
    """
    logits = logits.float()
    if target.is_floating_point():
        known = labelled(target)
        smoothed = target * (1 - smoothing) + known[:, None] * (smoothing / target.shape[1])
        return functional.cross_entropy(logits, smoothed, weights, reduction="sum") / known.sum().clamp(min=1)
    if columns is not None:
        target = columns.of_classes(target)
        weights = None if weights is None else columns.in_order(weights)
    total = functional.cross_entropy(
        logits, target, weights, ignore_index=UNLABELLED, label_smoothing=smoothing, reduction="sum"
    )
    known = target != UNLABELLED
    if weights is None:
        return total / known.sum().clamp(min=1)
    return total / (weights[target.clamp(min=0)] * known).sum().clamp(min=torch.finfo(torch.float32).tiny)


def classifies(module: nn.Module) -> bool:
    """Whether the network has a classifier."""
    return not isinstance(module, Backbone) or module.num_classes > 0


def accuracy(run: TrainingRun, role: str, split: Iterable[Batch]) -> float | None:
    """Top-1 accuracy in percent over the labelled samples of ``split``, in eval mode, over all processes.

    None if there are none.
    """
    counts = torch.zeros(2, device=run.device, dtype=torch.float64)
    columns = run.columns(role)
    with run.measuring():
        for batch in split:
            assert batch.target is not None
            answer = run.answers.unremembered(role, batch)
            known = batch.labelled
            found = answer.logits.argmax(dim=1)
            if columns is not None:
                found = columns.to_classes(found)
            right = (found == batch.target) & known
            counts += torch.stack([right.sum(), known.sum()])
    if run.fabric.world_size > 1:
        summed = run.fabric.all_reduce(counts, reduce_op="sum")
        assert isinstance(summed, Tensor)
        counts = summed
    return 100.0 * float(counts[0]) / float(counts[1]) if counts[1] else None
