"""Knowledge distillation with the reused teacher classifier: Chen, Mei, Zhang, Wang, Feng and Chen 2022."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from kdzoo.api import Algorithm, Backbone, Batch, KdzooError, Knowledge, Output, Phase, Run, Taps
from kdzoo_feature.borrowed import Borrowed
from kdzoo_feature.functional.fitnet import hint_loss


class SimKD(Knowledge):
    """Mean squared difference of the student's projected last map and the teacher's."""

    name = "simkd"
    kind = "feature"
    taps = Taps(student=(-1,))
    exempt: ClassVar = {"student-mode:student": "the teacher's classifier is frozen and stays in eval mode"}

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """Check the maps. There is no connector: the projector belongs to the student.

        Raises:
            KdzooError: the maps have different numbers of channels.
        """
        ours, theirs = student.features[0].shape[1], teacher.features[0].shape[1]
        if ours != theirs:
            raise KdzooError(
                f"knowledge 'simkd' compares last maps of the same channels, not {ours} and {theirs}: use it with "
                "algorithm 'simkd', which projects the student's map and lends it the teacher's classifier"
            )

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses."""
        return hint_loss(student.features[0], teacher.features[0], reduction="none")


class ReusedClassifier(Algorithm):
    """Replace the student's classifier by a projector and the teacher's frozen classifier, and train it.

    Args:
        factor: the projector's inner channels are the teacher's divided by this.
        task_weight: weight of the task loss; the paper has none.
        teach_weight: weight of the knowledge.
    """

    name = "simkd"
    needs_loop = "trains the student with the teacher's classifier in place of its own"
    needs_labels = False
    exempt: ClassVar = SimKD.exempt

    def __init__(
        self,
        factor: PositiveInt = 2,
        task_weight: NonNegativeFloat = 0.0,
        teach_weight: NonNegativeFloat = 1.0,
    ) -> None:
        self.factor = factor
        self.task_weight = task_weight
        self.teach_weight = teach_weight

    def phases(self, run: Run) -> Iterator[Phase]:
        """Give the student its new head, then train it in one phase over the training split."""
        student, teacher = run.roles.get("student"), run.roles.get("teacher")
        if (
            not isinstance(student, Backbone)
            or not isinstance(teacher, Backbone)
            or any(one.requires_grad for one in teacher.parameters())
            or run.students != ("student",)
        ):
            raise KdzooError(
                "algorithm 'simkd' lends one student the classifier of one frozen teacher; the scheme has no such "
                "pair of timm models: use scheme 'offline'"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.generator(self.name).initial_seed())
            assembled = Borrowed(student, teacher, self.factor)
        run.enroll("student", assembled, student=True)

        def step(batch: Batch) -> Mapping[str, Tensor]:
            teach = run.teach(batch)
            total, recorded = self.teach_weight * teach, {"teach": teach}
            if self.task_weight:
                recorded["task"] = run.task("student", batch)
                total = total + self.task_weight * recorded["task"]
            run.update(total, "student", "knowledge")
            return recorded

        yield Phase("distill", run.data.train, step, run.recipe.epochs)
