"""A Lightning module: ``Trainer(max_epochs=20).fit(Distilled(student, teacher, "dkd", example=images), loader)``.

Checkpoints of the trainer hold all that the training needs to go on: the module's state dict is the Distiller's.
"""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor, nn

import kdzoo


class Distilled(lightning.LightningModule):
    """Trains a student by any method that a Distiller takes.

    Args:
        student: the network to train.
        teacher: its frozen teacher.
        method: a method of kdzoo's registry.
        lr: learning rate of AdamW.
        settings: further arguments of the Distiller, such as ``example``.
    """

    def __init__(
        self, student: nn.Module, teacher: nn.Module | None, method: str, *, lr: float = 1e-3, **settings: Any
    ) -> None:
        super().__init__()
        self.distiller = kdzoo.Distiller(student, teacher, method, **settings)
        self.lr = lr

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch of normalised images and labels."""
        images, labels = batch
        progress = self.global_step / max(self.trainer.estimated_stepping_batches, 1)
        losses = self.distiller(images, labels, progress=min(progress, 1.0))
        self.log_dict({f"train/{name}": losses[name].detach() for name in ("task", "teach", "total")})
        return losses["total"]

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """The student's accuracy in percent."""
        images, labels = batch
        logits = self.distiller.student(images)
        self.log("val/accuracy", 100 * (logits.argmax(dim=1) == labels).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on the student and the connectors."""
        return torch.optim.AdamW(self.distiller.parameters(), lr=self.lr)
