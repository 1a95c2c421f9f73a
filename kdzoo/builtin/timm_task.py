"""The algorithm that is somebody's ``timm.task.TrainingTask``."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from kdzoo.api import Algorithm, Backbone, Batch, KdzooError, Phase, Run


class TimmTask(Algorithm):
    """Train the student by a ``timm.task.TrainingTask``: timm's own, or one of yours.

    The task is made as ``factory(student_model=..., teacher_model=..., **arguments)``, without the teacher where the
    scheme has none. It sees images that are normalised for the student. What it trains beside the student, such as a
    projection, is the role ``task``.

    Args:
        task: where it is: ``timm.task:LogitDistillationTask`` or ``package.module:factory``.
        arguments: its further keyword arguments.
    """

    name = "timm-task"
    needs_loop = "is a training task of timm's, which is such a loss already"
    reads_teacher = True

    def __init__(
        self, task: str = "timm.task:LogitDistillationTask", arguments: dict[str, Any] | None = None
    ) -> None:
        self.task = task
        self.arguments = arguments or {}

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase over the training split."""
        student = run.roles["student"]
        if not isinstance(student, Backbone):
            raise KdzooError(
                "algorithm 'timm-task' trains a timm model; this scheme's student is more than one"
            )
        if run.recipe.data.labels_per_class is not None:
            raise KdzooError("algorithm 'timm-task' needs every label; data.labels_per_class withholds some")
        task = self._make(run, student)
        own = {id(one) for one in student.parameters()}
        more = [one for one in task.parameters() if one.requires_grad and id(one) not in own]
        roles = ["student"]
        if more:
            run.enroll("task", nn.ParameterList(more), student=False)
            roles.append("task")

        def step(batch: Batch) -> Mapping[str, Tensor]:
            if batch.target is None:
                raise KdzooError(
                    "a timm task needs labels; take an algorithm of kdzoo for images without any"
                )
            with run.autocast():
                found: Mapping[str, Tensor] = task(student.prepare(batch.inputs["image"]), batch.target)
            run.update(found["loss"], *roles)
            return {name: value for name, value in found.items() if name != "loss" and value.ndim == 0}

        yield Phase("task", run.data.train, step, run.recipe.epochs)

    def _make(self, run: Run, student: Backbone) -> nn.Module:
        try:
            module, _, name = self.task.partition(":")
            factory = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise KdzooError(f"algorithm.task {self.task!r} is not there: {error}") from None
        teacher = run.roles.get("teacher")
        networks = {"teacher_model": teacher.model} if isinstance(teacher, Backbone) else {}
        for network in (student, teacher):
            if isinstance(network, Backbone):
                _state_normalisation(network)
        quiet = {"verbose": False, "device": run.device, **self.arguments}
        try:
            task = factory(student_model=student.model, **networks, **quiet)
        except TypeError as error:
            raise KdzooError(f"algorithm.task {self.task!r}: {error}") from None
        if not isinstance(task, nn.Module):
            raise KdzooError(f"algorithm.task {self.task!r} makes a {type(task).__name__}, which is no task")
        return task.train()


def _state_normalisation(network: Backbone) -> None:
    """Timm's tasks read mean and std from ``pretrained_cfg``, where a network of one channel still has three."""
    mean, std = (tuple(values.flatten().tolist()) for values in (network.mean, network.std))
    if len(mean) != len(network.model.pretrained_cfg["mean"]):
        network.model.pretrained_cfg = {**network.model.pretrained_cfg, "mean": mean, "std": std}
