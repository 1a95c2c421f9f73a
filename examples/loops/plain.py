"""A plain training loop that can be interrupted: any method around any two image classifiers.

The loop, the data and the optimizer are yours; ``kdzoo.Distiller`` gives the loss of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

import kdzoo


def train(
    student: nn.Module,
    teacher: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    *,
    method: str = "kd",
    epochs: int = 2,
    lr: float = 1e-3,
    file: Path = Path("training.pt"),
) -> list[float]:
    """Train the student on normalised images and labels; the mean loss of each epoch."""
    images, _ = next(iter(loader))
    distiller = kdzoo.Distiller(student, teacher, method, example=images)
    optimizer = torch.optim.AdamW(distiller.parameters(), lr=lr)  # the student's and the connectors'
    history: list[float] = []
    if file.exists():  # go on where it stopped
        saved = torch.load(file, weights_only=True)
        distiller.load_state_dict(saved["distiller"])
        optimizer.load_state_dict(saved["optimizer"])
        history = saved["history"]
    for epoch in range(len(history), epochs):
        distiller.train()
        losses = []
        for images, labels in loader:
            found = distiller(images, labels, progress=epoch / epochs)
            optimizer.zero_grad()
            found["total"].backward()
            optimizer.step()
            losses.append(found["total"].detach())
        history.append(float(torch.stack(losses).mean()))
        saved = {"distiller": distiller.state_dict(), "optimizer": optimizer.state_dict(), "history": history}
        torch.save(saved, file)
    return history
