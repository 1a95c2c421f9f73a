"""Incremental classifier and representation learning: Rebuffi, Kolesnikov, Sperl and Lampert 2017."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api import Backbone, Batch, KdzooError, Run
from kdzoo_lifelong.curriculum import Task
from kdzoo_lifelong.functional import class_mean
from kdzoo_lifelong.lifelong import Incremental
from kdzoo_lifelong.memory import Memory, embeddings

MEANS = "icarl/means"


class Icarl(Incremental):
    """Features trained with a sigmoid per class; classification by the nearest mean of exemplars.

    For unit-length features and means, the nearest mean has the largest inner product, so after the last task
    the means become the weights of the student's classifier, without bias.

    Args:
        memory: number of images of earlier classes to keep.
        task_weight: weight of the loss of the task's classes.
    """

    name = "icarl"
    validates = False  # its sigmoids train the features, and the means answer

    def __init__(self, memory: PositiveInt = 2000, **settings: Any) -> None:
        super().__init__(memory=memory, **settings)

    def check(self, run: Run) -> None:
        """The classifier must be one linear layer, so that the means can replace it."""
        student = run.roles["student"]
        if not isinstance(student, Backbone) or not isinstance(student.classifier, nn.Linear | nn.Conv2d):
            raise KdzooError(
                f"algorithm 'icarl' replaces the student's classifier by class means, and model "
                f"{run.recipe.roles['student'].model!r} has no linear one: take another model"
            )

    def task_loss(self, run: Run, batch: Batch, task: Task) -> Tensor:
        """Binary cross-entropy summed over the task's classes; all targets of an image of another class are 0."""
        logits = run.see("student", batch).logits[:, len(task.before) :].float()
        right = functional.one_hot(self.targets(batch), len(task.seen))[:, len(task.before) :]
        return (
            functional.binary_cross_entropy_with_logits(logits, right.to(logits.dtype), reduction="none")
            .sum(1)
            .mean()
        )

    def remembered(self, run: Run, task: Task, memory: Memory) -> None:
        """Compute the means of the exemplars' features with the current student."""
        run.state[MEANS] = torch.stack([class_mean(embeddings(run, rows)) for rows in memory.lists(task)])

    def scores(self, run: Run, task: Task, images: Tensor) -> Tensor:
        """Cosines to the means."""
        with run.autocast():
            embedding = run.roles["student"](images, (), True).embedded
        means: Tensor = run.state[MEANS]
        return functional.normalize(embedding.float(), dim=1) @ means.T

    def finish(self, run: Run, task: Task) -> None:
        """Make the nearest mean the student's linear classifier, without bias."""
        student = run.roles["student"]
        assert isinstance(student, Backbone)
        classifier = student.classifier
        assert isinstance(classifier, nn.Linear | nn.Conv2d)
        with torch.no_grad():
            classifier.weight.copy_(run.state[MEANS].view_as(classifier.weight))
            if classifier.bias is not None:
                classifier.bias.zero_()
