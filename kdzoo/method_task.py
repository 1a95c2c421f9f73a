"""A method as timm's own kind of training task, for loops that are written around ``timm.task``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.task import TrainingTask
from torch import Tensor, nn

from kdzoo.distiller import Distiller
from kdzoo.errors import KdzooError


class MethodTask(TrainingTask):  # type: ignore[misc]  # timm is untyped here
    """Any method that a :class:`kdzoo.Distiller` takes, as a ``timm.task.TrainingTask``.

    ``task(input, target)`` returns ``loss``, ``output`` (the student's logits), ``task_loss`` and ``kd_loss``, as
    timm's own distillation tasks do. Give ``task.parameters()`` to the optimizer: the student's and the connectors'.
    Images are normalised for the student; the teacher sees them with its own mean and std.

    Args:
        student_model: a timm model.
        teacher_model: a timm model with the same classes, several in a list, or None, as for a Distiller; they are
            frozen and stay in eval mode.
        method: a method that a Distiller takes.
        example: (B, C, H, W) images, B >= 2, that fix the connectors' shapes; default: the student's own size.
        settings: further keys, dotted: ``{"knowledge.temperature": 2.0}``.
        networks: further networks by role: ``{"peer1": model}``.
        steps: of the whole training, for methods that warm up or ramp; :meth:`set_step` says where it stands.
        device: as in timm.
        dtype: as in timm.

    Raises:
        KdzooError: see :class:`kdzoo.Distiller`.
    """

    def __init__(
        self,
        student_model: nn.Module,
        teacher_model: nn.Module | Sequence[nn.Module] | None,
        method: str,
        *,
        example: Tensor | None = None,
        settings: Mapping[str, Any] | None = None,
        networks: Mapping[str, nn.Module] | None = None,
        steps: int | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(device=device, dtype=dtype, verbose=False)
        student_model.to(self.device)
        self.distiller = Distiller(
            student_model,
            teacher_model,
            method,
            example=example,
            settings=settings,
            networks=networks,
            renormalize=True,
        )  # which brings the others to the student's device
        self.steps = steps
        self.step = 0

    def get_trainable_module(self, ema: bool = False) -> nn.Module | None:
        """The student; its connectors are trained too and belong to nobody else."""
        return super().get_trainable_module(ema=True) if ema else self.distiller.student

    def get_clip_parameters(self, exclude_head: bool = False) -> Any:
        """The parameters whose gradients are clipped: the student's and the connectors'."""
        return self.parameters()

    def prepare_distributed(self, device_ids: list[int] | None = None, **ddp_kwargs: Any) -> MethodTask:
        """Raises.

        Raises:
            KdzooError: always: the student is called more than once a step, which DistributedDataParallel does
                not hold; ``kdzoo distill`` trains in several processes.
        """
        raise KdzooError(
            "a MethodTask trains in one process; kdzoo distill trains this method in several processes"
        )

    def set_step(self, step: int) -> None:
        """Say how many steps are done, after a resume or where the loop counts by itself."""
        self.step = step

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The losses of one batch.

        Args:
            input: (B, C, H, W), normalised for the student.
            target: (B,) class ids or (B, K) probabilities.

        Returns:
            ``loss``, ``output`` (B, K), ``task_loss`` and ``kd_loss``.
        """
        progress = min(self.step / self.steps, 1.0) if self.steps else 0.0
        losses = self.distiller(input, target, progress)
        self.step += self.training
        return {
            "loss": losses["total"],
            "output": losses["logits"],
            "task_loss": losses["task"],
            "kd_loss": losses["teach"],
        }
