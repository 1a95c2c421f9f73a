"""A loop of Lightning Fabric: devices, precision and processes are Fabric's."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader

import kdzoo


def train(
    fabric: Fabric,
    student: nn.Module,
    teacher: nn.Module,
    loader: DataLoader[Any],
    *,
    method: str = "kd",
    epochs: int = 2,
) -> list[float]:
    """Train the student; the loss of each step in this process."""
    images, _ = next(iter(loader))
    distiller = kdzoo.Distiller(student, teacher, method, example=images)
    optimizer = torch.optim.AdamW(distiller.parameters(), lr=1e-3)
    model, optimizer = fabric.setup(distiller, optimizer)  # the teacher moves along and is not wrapped
    batches = fabric.setup_dataloaders(loader)
    losses = []
    for epoch in range(epochs):
        model.train()
        for images, labels in batches:
            found = model(images, labels, progress=epoch / epochs)
            optimizer.zero_grad()
            fabric.backward(found["total"])
            optimizer.step()
            losses.append(float(found["total"].detach()))
    return losses
