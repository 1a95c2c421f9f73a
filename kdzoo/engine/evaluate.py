"""Accuracy of a role on a split."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from kdzoo.api.batch import UNLABELLED, Batch

if TYPE_CHECKING:
    from kdzoo.engine.run import TrainingRun


def accuracy(run: TrainingRun, role: str, split: Iterable[Batch]) -> float:
    """Top-1 accuracy in percent over the labelled samples of ``split``, in eval mode, over all processes."""
    counts = torch.zeros(2, device=run.device, dtype=torch.float64)
    columns = run.columns(role)
    with run.measuring():
        for batch in split:
            assert batch.target is not None
            answer = run.answers.unremembered(role, batch)
            labelled = batch.target != UNLABELLED
            found = answer.logits.argmax(dim=1)
            if columns is not None:
                found = columns.to_classes(found)
            right = (found == batch.target) & labelled
            counts += torch.stack([right.sum(), labelled.sum()])
    if run.fabric.world_size > 1:
        summed = run.fabric.all_reduce(counts, reduce_op="sum")
        assert isinstance(summed, torch.Tensor)
        counts = summed
    return 100.0 * float(counts[0]) / max(float(counts[1]), 1.0)
