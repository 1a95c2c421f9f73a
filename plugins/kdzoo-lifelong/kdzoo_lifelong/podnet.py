"""Pooled outputs distillation network: Douillard, Cord, Ollion, Robert and Valle 2020."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from kdzoo.api import Backbone, Batch, KdzooError, Run
from kdzoo_lifelong.cosine import LocalSimilarity
from kdzoo_lifelong.curriculum import Task
from kdzoo_lifelong.functional import nca_loss
from kdzoo_lifelong.growing import inherit
from kdzoo_lifelong.lifelong import Incremental
from kdzoo_lifelong.memory import Budget


class Podnet(Incremental):
    """A cosine classifier with several proxies per class, a margin loss, and a replay memory.

    Args:
        memory: number of images of earlier classes to keep.
        proxies: number of proxies of each class.
        scale: initial value of the learned scale of the similarities.
        margin: margin of the right class.
        balance: epochs of the classifier alone on the class-balanced memory, as a fraction of the recipe's
            epochs, at least one; 0 is none.
        task_weight: weight of the margin loss.
        teach_weight: weight of the distillation loss, times the square root of (classes so far / new classes).
    """

    name = "podnet"

    def __init__(
        self,
        memory: PositiveInt = 20,
        memory_budget: Budget = "class",
        proxies: PositiveInt = 10,
        scale: PositiveFloat = 10.0,
        margin: NonNegativeFloat = 0.6,
        balance: Annotated[float, Field(ge=0, le=1)] = 0.15,
        **settings: Any,
    ) -> None:
        super().__init__(memory=memory, memory_budget=memory_budget, **settings)
        self.proxies = proxies
        self.scale = scale
        self.margin = margin
        self.balance = balance

    def check(self, run: Run) -> None:
        """The margin loss needs at least two classes."""
        if len(self.curriculum.tasks[0].classes) < 2:
            raise KdzooError(
                "algorithm 'podnet' tells a class from the others, and the first task has one class: take fewer "
                "algorithm.tasks, or algorithm.first_task=2"
            )

    def build(self, run: Run, task: Task) -> LocalSimilarity:
        """A backbone with proxies for the classes so far; those of earlier classes are kept."""
        backbone = run.build("student", num_classes=1)
        assert isinstance(backbone, Backbone)
        student = LocalSimilarity(
            backbone, len(task.seen), self.proxies, self.scale, run.generator(f"proxies/{task.number}")
        )
        if task.before:
            inherit(student, run.roles["student"])
        return student

    def task_loss(self, run: Run, batch: Batch, task: Task) -> Tensor:
        """The margin loss."""
        student = run.roles["student"]
        assert isinstance(student, LocalSimilarity)
        logits = run.see("student", batch).logits.float()
        return nca_loss(logits / student.scale, self.targets(batch), student.scale, self.margin)

    def rebalance(self, run: Run, task: Task) -> nn.Module:
        """Train the proxies and their scale further; freeze the backbone."""
        student = run.roles["student"]
        assert isinstance(student, LocalSimilarity)
        return student.backbone

    def weight(self, task: Task) -> float:
        """Grows with the number of old classes (section 3.1 of the paper)."""
        return self.teach_weight * math.sqrt(len(task.seen) / len(task.classes))
