"""The metrics of plugins over a split."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kdzoo.api.batch import UNLABELLED, Batch
from kdzoo.api.metric import Metric
from kdzoo.errors import KdzooError
from kdzoo.zoo import Zoo

if TYPE_CHECKING:
    from kdzoo.engine.run import TrainingRun

Samples = tuple[Tensor, Tensor]
"""(n, K) logits and (n,) class ids."""


def metric_figures(run: TrainingRun, zoo: Zoo, split: Iterable[Batch]) -> Iterator[tuple[str, float | str]]:
    """The name of each installed metric with its figure for the student, or with the reason why there is none.

    A metric that fails must not cost a finished training its result.
    """
    found = [one for several in zoo.components("metric").values() for one in several]
    if not found:
        return
    samples = _gathered(run, list(_answers(run, split)))
    for one in found:
        try:
            metric: Metric = one.component()
            metric.begin(run.data.classes)
            for logits, target in samples:
                metric.update(logits, target)
            value = float(metric.compute())
        except Exception as error:  # a plugin can raise anything
            text = str(error) if isinstance(error, KdzooError) else f"{type(error).__name__}: {error}"
            yield one.name, " ".join(text.split())
        else:
            yield one.name, value if math.isfinite(value) else f"it is {value}"


def _answers(run: TrainingRun, split: Iterable[Batch]) -> Iterator[Samples]:
    columns, classes = run.columns("student"), len(run.data.classes)
    with run.measuring():
        for batch in split:
            assert batch.target is not None
            logits = run.answers.unremembered("student", batch).logits.float()
            if columns is not None:
                ordered = logits.new_full((len(logits), classes), -torch.inf)
                logits = ordered.index_copy(1, columns.classes.to(logits.device), logits)
            labelled = batch.target != UNLABELLED
            yield logits[labelled].cpu(), batch.target[labelled].cpu()


def _gathered(run: TrainingRun, samples: Sequence[Samples]) -> list[Samples]:
    """Those of every process."""
    if run.fabric.world_size == 1:
        return list(samples)
    parts: list[list[Samples]] = [[] for _ in range(run.fabric.world_size)]
    torch.distributed.all_gather_object(parts, list(samples))
    return [one for part in parts for one in part]
