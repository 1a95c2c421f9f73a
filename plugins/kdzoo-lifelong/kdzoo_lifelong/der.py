"""Dynamically expandable representation: Yan, Xie and He 2021."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from kdzoo.api import Backbone, Batch, Run
from kdzoo_lifelong.cosine import embedding_width
from kdzoo_lifelong.curriculum import Task
from kdzoo_lifelong.expanded import Expanded, linear
from kdzoo_lifelong.growing import inherit
from kdzoo_lifelong.lifelong import Incremental, cross_entropy

AUXILIARY = "auxiliary"


class Der(Incremental):
    """Each task adds a backbone; the earlier ones are frozen, and one classifier reads all embeddings.

    The new backbone also has an auxiliary classifier (role ``auxiliary``) for the task's classes and one
    class for all earlier ones. Then the student's classifier is reinitialised and trained on the
    class-balanced memory (phases ``balance2``, ``balance3``, ...).

    Args:
        memory: number of images of earlier classes to keep.
        auxiliary_weight: weight of the auxiliary classifier's loss.
        balance: epochs on the memory, as a fraction of the recipe's epochs, at least one; 0 is none.
        temperature: divides the logits in those epochs.
        teach_weight: weight of the distillation loss, if the recipe has a knowledge; the paper has none.
    """

    name = "der"
    exempt: ClassVar = {
        "student-mode:student": "the backbones of earlier tasks are frozen and stay in eval mode"
    }

    def __init__(
        self,
        memory: PositiveInt = 2000,
        auxiliary_weight: NonNegativeFloat = 1.0,
        balance: Annotated[float, Field(ge=0, le=1)] = 0.15,
        temperature: PositiveFloat = 5.0,
        **settings: Any,
    ) -> None:
        super().__init__(memory=memory, **settings)
        self.auxiliary_weight = auxiliary_weight
        self.balance = balance
        self.temperature = temperature

    def build(self, run: Run, task: Task) -> Expanded:
        """The backbones so far, and a copy of the last one, which is trained."""
        backbone = run.build("student", num_classes=1)
        assert isinstance(backbone, Backbone)
        width = embedding_width(backbone)
        backbone.model.reset_classifier(0)
        generator = run.generator(f"classifier/{task.number}")
        if not task.before:
            return Expanded([backbone], width, len(task.seen), generator)
        old = run.roles["student"]
        assert isinstance(old, Expanded)
        inherit(backbone, old.backbones[-1])
        earlier = [one for one in old.backbones if isinstance(one, Backbone)]
        student = Expanded([*earlier, backbone], width, len(task.seen), generator)
        rows, columns = old.classifier.weight.shape
        with torch.no_grad():
            student.classifier.weight[:rows, :columns] = old.classifier.weight
            student.classifier.bias[:rows] = old.classifier.bias
        return student

    def start(self, run: Run, task: Task) -> None:
        """From the second task on, enroll the auxiliary classifier; its first column is for earlier classes."""
        run.tap("student", embedding=True)
        if task.before:
            student = run.roles["student"]
            assert isinstance(student, Expanded)
            generator = run.generator(f"auxiliary/{task.number}")
            run.enroll(AUXILIARY, linear(student.width, 1 + len(task.classes), generator), student=False)

    def task_loss(self, run: Run, batch: Batch, task: Task) -> Tensor:
        """Cross-entropy over all classes so far, plus that of the auxiliary classifier."""
        loss = run.task("student", batch)
        if not task.before:
            return loss
        student, embedding = run.roles["student"], run.see("student", batch).embedded
        assert isinstance(student, Expanded)
        with run.autocast():
            logits = run.roles[AUXILIARY](embedding[:, -student.width :])
        target = (self.targets(batch) - len(task.before) + 1).clamp(min=0)
        own = cross_entropy(logits.float(), target, run.recipe.smoothing)
        return loss + self.auxiliary_weight * own

    def learners(self, task: Task) -> tuple[str, ...]:
        """The student, connectors, and the auxiliary classifier."""
        return (*super().learners(task), *((AUXILIARY,) if task.before else ()))

    def rebalance(self, run: Run, task: Task) -> nn.Module:
        """Reinitialise the classifier."""
        student = run.roles["student"]
        assert isinstance(student, Expanded)
        generator = run.generator(f"balance/{task.number}")
        student.classifier = linear(student.classifier.in_features, len(task.seen), generator)
        return student.backbones

    def balance_loss(self, run: Run, batch: Batch, task: Task) -> Tensor:
        """Cross-entropy at a temperature."""
        logits = run.see("student", batch).logits.float() / self.temperature
        return cross_entropy(logits, self.targets(batch), run.recipe.smoothing)
