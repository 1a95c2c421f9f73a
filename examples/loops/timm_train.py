"""The loop of timm's ``train.py``: a method in the place of its ``task``.

In that script, put ``task = kdzoo.MethodTask(model, teacher, "dkd", steps=updates)`` after the model is made, and
give ``task`` to ``create_optimizer_v2``; the rest stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter, dispatch_clip_grad
from torch import Tensor, nn

import kdzoo


def train(
    student: nn.Module,
    teacher: nn.Module,
    loader: Sequence[tuple[Tensor, Tensor]],
    *,
    method: str = "kd",
    epochs: int = 2,
) -> list[float]:
    """Train two timm models on images normalised for the student; the mean loss of each epoch."""
    updates = len(loader)
    task = kdzoo.MethodTask(student, teacher, method, example=loader[0][0], steps=updates * epochs)
    optimizer = create_optimizer_v2(
        task, opt="adamw", lr=1e-3
    )  # the student's parameters and the connectors'
    scheduler, epochs = create_scheduler_v2(optimizer, num_epochs=epochs, updates_per_epoch=updates)
    means = []
    for epoch in range(epochs):
        task.train()
        losses = AverageMeter()
        for number, (input, target) in enumerate(loader):
            result = task(input, target)
            optimizer.zero_grad()
            result["loss"].backward()
            dispatch_clip_grad(task.get_clip_parameters(), value=1.0, mode="norm")
            optimizer.step()
            scheduler.step_update(num_updates=epoch * updates + number + 1)
            losses.update(result["loss"].item(), input.size(0))
        scheduler.step(epoch + 1)
        means.append(losses.avg)
    return means
