"""Training on a sequence of tasks, with the previous student as the teacher and a replay memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api import (
    UNLABELLED,
    Algorithm,
    Assembled,
    Backbone,
    Batch,
    KdzooError,
    Phase,
    Run,
    Tune,
    markdown_text,
    refuse_mixing,
)
from kdzoo_lifelong.book import SETTINGS, Book
from kdzoo_lifelong.curriculum import Task, cut
from kdzoo_lifelong.growing import inherit
from kdzoo_lifelong.memory import Budget, Memory, Selection, rows_of

FirstTask = Annotated[int, Field(ge=1)] | None
Seed = Annotated[int, Field(ge=0)] | None


class Incremental(Algorithm):
    """The base of algorithms that learn the classes task by task.

    Each task is a phase, ``task1``, ``task2``, ..., of the recipe's epochs over its own images and the
    memory's. The student's logits are the classes in order of arrival. Between two tasks the student becomes
    the frozen role ``previous``, and a copy with more classes is the new student.

    Args:
        tasks: number of tasks.
        first_task: classes of the first task; None: as many as in the others.
        class_order_seed: seed of the order in which classes arrive; None: the data's own order.
        memory: number of images of earlier classes to keep; 0 is none.
        memory_budget: whether that is for all classes together, shared equally, or for each class.
        selection: how the images for the memory are selected.
        task_weight: weight of the task loss.
        teach_weight: weight of the distillation loss, whose teacher is ``previous``.
    """

    needs_loop = "learns one task of classes after the other"
    classes: Literal["new", "seen"] = "seen"
    joint = False
    validates = True
    """Whether the student's logits are its answers while a task is learned."""
    balance = 0.0
    """Epochs on the memory after a task, as a fraction of the recipe's epochs; 0 is none."""

    def __init__(
        self,
        tasks: PositiveInt = 5,
        first_task: FirstTask = None,
        class_order_seed: Seed = 0,
        memory: NonNegativeInt = 0,
        memory_budget: Budget = "total",
        selection: Selection = "herding",
        task_weight: NonNegativeFloat = 1.0,
        teach_weight: Annotated[NonNegativeFloat, Tune(around=10)] = 1.0,
    ) -> None:
        self.tasks = tasks
        self.first_task = first_task
        self.class_order_seed = class_order_seed
        self.images = memory
        self.memory_budget = memory_budget
        self.selection = selection
        self.task_weight = task_weight
        self.teach_weight = teach_weight
        self._progress = 0.0

    # What a subclass may override

    def check(self, run: Run) -> None:
        """Refuse a run that cannot work, before training."""

    def build(self, run: Run, task: Task) -> Backbone | Assembled:
        """A new student for the classes so far, with the weights of the previous one."""
        student = run.build("student", num_classes=len(task.seen))
        assert isinstance(student, Backbone)
        if task.before:
            inherit(student, run.roles["student"])
        return student

    def start(self, run: Run, task: Task) -> None:
        """Called after the student of ``task`` has been enrolled."""

    def task_loss(self, run: Run, batch: Batch, task: Task) -> Tensor:
        """The task loss; a scalar."""
        if self.classes == "seen":
            return run.task("student", batch)
        logits = run.see("student", batch).logits[:, len(task.before) :].float()
        return cross_entropy(logits, self.targets(batch) - len(task.before), run.recipe.smoothing)

    def learners(self, task: Task) -> tuple[str, ...]:
        """The roles that are trained."""
        return ("student", "knowledge")

    def weight(self, task: Task) -> float:
        """The weight of the distillation loss in ``task``."""
        return self.teach_weight

    def remembered(self, run: Run, task: Task, memory: Memory) -> None:
        """Called when ``task`` has ended and its images are in the memory; in eval mode, without gradient."""

    def scores(self, run: Run, task: Task, images: Tensor) -> Tensor:
        """(B, K) for (B, C, H, W) images: the highest is the prediction after ``task``."""
        with run.autocast():
            logits: Tensor = run.roles["student"](images).logits
        return logits

    def rebalance(self, run: Run, task: Task) -> nn.Module:
        """Prepare the student for the epochs on the memory; returns the part that is frozen in them.

        Called only when ``balance`` > 0.
        """
        raise NotImplementedError(f"{type(self).__name__} sets balance and must define rebalance")

    def balance_loss(self, run: Run, batch: Batch, task: Task) -> Tensor:
        """The task loss in the epochs on the memory."""
        return self.task_loss(run, batch, task)

    def has_balanced_phase(self, task: Task) -> bool:
        """Whether ``task`` ends with epochs on the class-balanced memory."""
        return bool(task.before) and self.balance > 0

    def balanced_phase(self, run: Run, task: Task, memory: Memory) -> Phase:
        """Phase ``balance2``, ``balance3``, ...: trains only the classifier, with the student in eval mode."""
        frozen = self.rebalance(run, task)
        run.enroll("student", run.roles["student"], train_mode=False)
        frozen.requires_grad_(False)
        epochs = max(1, round(self.balance * run.recipe.epochs))

        def step(batch: Batch) -> Mapping[str, Tensor]:
            self._progress = batch.progress
            loss = self.balance_loss(run, batch, task)
            run.update(loss, "student")
            return {"task": loss}

        def after_epoch() -> Mapping[str, float]:
            return self.record(run, task) if self.ends(epochs) else {}

        rows = memory.rows(task)
        return Phase(f"balance{task.number}", run.data.select(rows), step, epochs, after_epoch)

    def finish(self, run: Run, task: Task) -> None:
        """Called after the last task, before the student is measured and exported."""

    # The script

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase for each task, and its balanced epochs."""
        self.curriculum = cut(run, self.tasks, self.first_task, self.class_order_seed)
        self.book = Book(run, self.curriculum)
        memory = Memory(run, self.images, self.memory_budget, self.selection)
        _check(run, len(self.curriculum.tasks))
        self.check(run)
        for task in self.curriculum.tasks:
            self._enroll(run, task)
            yield Phase(
                task.name,
                run.data.select(self._rows(run, task, memory)),
                lambda batch, task=task: self.step(run, batch, task),  # type: ignore[misc]  # bound now
                run.recipe.epochs,
                lambda task=task: self._ended(run, task, memory),  # type: ignore[misc]  # bound now
                self.validates,
            )
            if self.has_balanced_phase(task):
                yield self.balanced_phase(run, task, memory)
        self.finish(run, self.curriculum.tasks[-1])

    def step(self, run: Run, batch: Batch, task: Task) -> Mapping[str, Tensor]:
        """One update with the task loss and the distillation loss."""
        self._progress = batch.progress
        weight = self.weight(task)
        teach = run.teach(batch) if weight else torch.zeros((), device=run.device)
        loss = self.task_loss(run, batch, task)
        run.update(self.task_weight * loss + weight * teach, *self.learners(task))
        return {"task": loss, "teach": teach}

    def targets(self, batch: Batch) -> Tensor:
        """(B,) the columns of the batch's classes."""
        assert batch.target is not None
        return self.curriculum.columns_of(batch.target)

    def ends(self, epochs: int) -> bool:
        """Whether the current epoch is the phase's last."""
        return math.floor(self._progress * epochs + 1e-9) == epochs - 1

    def record(self, run: Run, task: Task) -> Mapping[str, float]:
        """The figures after ``task``."""
        return self.book.record(task, lambda images: self.scores(run, task, images))

    def measure(self, run: Run) -> Mapping[str, float]:
        """Average incremental accuracy, forgetting, backward transfer; and the same with known task."""
        return self.book.result()

    def export(self, run: Run, folder: Path) -> str:
        """The order of the classes and the accuracy after each task, for the student's card."""
        matrix = self.book.matrix(SETTINGS[0])
        names = run.data.classes
        lines = [
            "## Tasks",
            "",
            "The classes arrived in this order, that of the logits. The figures are accuracies in percent on",
            "each task's test images, among all classes so far.",
            "",
            "| after | classes | "
            + " | ".join(f"task {task.number}" for task in self.curriculum.tasks)
            + " |",
            "|---|---|" + "---|" * len(self.curriculum.tasks),
        ]
        for task, row in zip(self.curriculum.tasks, matrix.tolist(), strict=True):
            cells = ["" if math.isnan(value) else f"{value:.1f}" for value in row]
            came = ", ".join(markdown_text(names[one]) for one in task.classes)
            lines.append(f"| task {task.number} | {came} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def _enroll(self, run: Run, task: Task) -> None:
        student = self.build(run, task)
        student.label_names = tuple(run.data.classes[one] for one in task.seen)
        if task.before:
            run.enroll("previous", run.roles["student"], learns=False)
        run.enroll("student", student)
        self.start(run, task)

    def _rows(self, run: Run, task: Task, memory: Memory) -> Tensor:
        if self.joint:
            return rows_of(run, task.seen)
        new = rows_of(run, task.classes)
        if task.number == 1:
            return new
        return torch.cat([memory.rows(self.curriculum.tasks[task.number - 2]), new])

    def _ended(self, run: Run, task: Task, memory: Memory) -> Mapping[str, float]:
        if not self.ends(run.recipe.epochs):
            return {}
        memory.update(task)
        self.remembered(run, task, memory)
        return {} if self.has_balanced_phase(task) else self.record(run, task)


class Lifelong(Incremental):
    """Class-incremental learning with cross-entropy as the task loss, and distillation from the previous student.

    Args:
        classes: the classes in the task loss's softmax: only those of the task (images of others have no task
            loss), or all so far.
        joint: train on all images of all tasks so far: the upper bound.
    """

    name = "lifelong"

    def __init__(
        self, classes: Literal["new", "seen"] = "seen", joint: bool = False, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.classes = classes
        self.joint = joint


def cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """The mean over the samples whose target is one of the columns; zero if none is.

    Args:
        logits: (B, K).
        target: (B,) int64; samples with other values than 0 to K - 1 are ignored.
        smoothing: label smoothing.

    """
    target = target.where((target >= 0) & (target < logits.shape[1]), UNLABELLED)
    total = functional.cross_entropy(
        logits, target, ignore_index=UNLABELLED, label_smoothing=smoothing, reduction="sum"
    )
    return total / (target != UNLABELLED).sum().clamp(min=1)


def _check(run: Run, tasks: int) -> None:
    refuse_mixing(run, f"algorithm {run.recipe.algorithm.name!r} makes tasks of classes")
    role = run.recipe.roles["student"]
    taught = role.checkpoint is not None or role.weights not in (None, "pretrained")
    if tasks > 1 and (taught or role.model.startswith("local-dir:")):
        raise KdzooError(
            "the student learns its classes task by task, and weights of a network that was trained on all of them "
            "would tell it the later ones: leave them out (pretrained is fine)"
        )
    asked = [one.settings["stages"] for one in run.recipe.knowledge if one.settings.get("stages")]
    stages = min(asked, key=min, default=())
    student = run.roles["student"]
    if stages and isinstance(student, Backbone) and -min(stages) > student.num_stages:
        # otherwise it would be refused only after the first task has been trained
        raise KdzooError(
            f"knowledge.stages {list(stages)}: model {student.name!r} shows {student.num_stages} stages; name some "
            f"from -{student.num_stages} to -1"
        )
