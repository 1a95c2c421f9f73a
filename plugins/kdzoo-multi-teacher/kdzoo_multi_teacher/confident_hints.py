"""Hints from several teachers, weighted by the label: the feature loss of Zhang, Chen and Wang 2022."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from kdzoo.api import (
    Algorithm,
    Backbone,
    Batch,
    KdzooError,
    Output,
    Phase,
    Run,
    Tune,
    pool_to_smaller,
    refuse_mixing,
)
from kdzoo_multi_teacher.functional import confidence_weights


class _Projected(nn.Module):
    """The student's last map, projected to a teacher's channels, and that teacher's classifier on it."""

    def __init__(self, channels: int, teacher: Backbone, teacher_channels: int) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.Conv2d(channels, teacher_channels, 1, bias=False), nn.BatchNorm2d(teacher_channels)
        )
        self._teacher = [teacher]  # in a list, so that its parameters are not registered here

    def forward(self, output: Output) -> Output:
        projected = self.project(output.features[-1])
        return Output(self._teacher[0].head(projected), (projected,))


class ConfidentHints(Algorithm):
    """Task loss + distillation loss + distances of the student's projected last map to each teacher's.

    A distance has the more weight, the better the teacher's classifier predicts the label from the projected
    map. It needs a scheme with the roles ``teacher1``, ``teacher2``, ...

    Args:
        task_weight: weight of the task loss.
        teach_weight: weight of the distillation loss (the paper's alpha).
        feature_weight: weight of the maps' mean squared error (the paper's beta); 0 switches it off.
    """

    name = "confident-hints"
    needs_loop = ""

    def __init__(
        self,
        task_weight: NonNegativeFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
        feature_weight: NonNegativeFloat = 50.0,
    ) -> None:
        self.task_weight = task_weight
        self.teach_weight = teach_weight
        self.feature_weight = feature_weight

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase over the training split."""
        hints = self._enroll(run) if self.feature_weight else {}

        def step(batch: Batch) -> Mapping[str, Tensor]:
            task, teach = run.task("student", batch), run.teach(batch)
            recorded = {"task": task, "teach": teach}
            total = self.task_weight * task + self.teach_weight * teach
            if hints:
                recorded["feature"] = self._feature(run, batch, hints)
                total = total + self.feature_weight * recorded["feature"]
            run.update(total, "student", *hints, "knowledge")
            return recorded

        yield Phase("distill", run.data.train, step, run.recipe.epochs)

    def _enroll(self, run: Run) -> dict[str, str]:
        """Hint role -> teacher role."""
        refuse_mixing(
            run,
            "algorithm 'confident-hints' weights maps by class ids",
            instead="set algorithm.feature_weight to 0",
        )
        teachers = [role for role in run.roles if role.startswith("teacher")]
        if len(teachers) < 2:
            raise KdzooError(
                "algorithm 'confident-hints' weights several teachers: take scheme confidence-aware, average, "
                "entropy-weighted or adaptive"
            )
        student = run.roles["student"]
        hints = {}
        for teacher in teachers:
            run.tap(teacher, -1)
            network = run.roles[teacher]
            if not isinstance(student, Backbone) or not isinstance(network, Backbone):
                raise KdzooError("algorithm 'confident-hints' needs timm backbones on both sides")
            module = _Projected(_channels(student), network, _channels(network))
            role = f"hint-{teacher}"
            run.enroll(role, module, reads="student", stages=(-1,), student=False)
            hints[role] = teacher
        return hints

    def _feature(self, run: Run, batch: Batch, hints: Mapping[str, str]) -> Tensor:
        answers = {role: run.see(role, batch) for role in hints}
        distances = []
        for role, teacher in hints.items():
            own, other = pool_to_smaller(
                answers[role].features[0].float(), run.see(teacher, batch).features[-1].detach().float()
            )
            distances.append((own - other).square().mean(dim=(1, 2, 3)))
        if batch.target is None:
            return torch.stack(distances).mean()
        with torch.no_grad():
            weights = confidence_weights([answer.logits for answer in answers.values()], batch.target)
        return (weights * torch.stack(distances)).sum(dim=0).mean()


def _channels(network: Backbone) -> int:
    channels: int = network.model.feature_info[-1]["num_chs"]
    return channels
