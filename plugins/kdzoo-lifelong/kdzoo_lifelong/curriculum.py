"""The tasks: which classes arrive when."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kdzoo.api import KdzooError, Run


@dataclass(frozen=True)
class Task:
    """Classes that arrive together.

    Attributes:
        number: from 1.
        classes: the data's ids of its classes, in order of arrival.
        before: ids of the classes of earlier tasks, in order of arrival.

    """

    number: int
    classes: tuple[int, ...]
    before: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of its phase."""
        return f"task{self.number}"

    @property
    def seen(self) -> tuple[int, ...]:
        """Ids of all classes so far, in order of arrival: the columns of the student's logits."""
        return self.before + self.classes


@dataclass(frozen=True, eq=False)
class Curriculum:
    """The tasks of a run.

    Attributes:
        tasks: in order.
        columns: (K,) int64 on the run's device: class id -> its position in the order of arrival.
        task_of: (K,) int64: position in the order of arrival -> its task, from 0.

    """

    tasks: tuple[Task, ...]
    columns: Tensor
    task_of: Tensor

    def columns_of(self, target: Tensor) -> Tensor:
        """(B,) class ids as positions in the order of arrival."""
        return self.columns[target]


def sizes(classes: int, tasks: int, first: int | None = None) -> tuple[int, ...]:
    """The number of classes of each task: ``first``, then as equal as possible, larger ones first.

    Raises:
        KdzooError: more tasks than classes.

    """
    if first is None:
        if tasks > classes:
            raise KdzooError(
                f"algorithm.tasks {tasks}: the data has {classes} classes, and each task needs one at least"
            )
        return _equal(classes, tasks)
    if classes - first < tasks - 1 or (tasks == 1 and first != classes):
        raise KdzooError(
            f"algorithm.first_task {first}: of the data's {classes} classes that leaves {classes - first} for "
            f"{tasks - 1} further tasks, and each needs one at least"
        )
    return (first, *_equal(classes - first, tasks - 1)) if tasks > 1 else (first,)


def cut(run: Run, tasks: int, first: int | None, order_seed: int | None) -> Curriculum:
    """The run's tasks.

    Args:
        run: the run whose classes are split.
        tasks: number of tasks.
        first: classes of the first task; None: as many as in the others.
        order_seed: seed of the order of arrival; None: the data's own order.

    Raises:
        KdzooError: more tasks than classes, or a class without a labelled training image.

    """
    count = len(run.data.classes)
    order = list(range(count))
    if order_seed is not None:
        draw = torch.Generator().manual_seed(order_seed)
        order = torch.randperm(count, generator=draw, device="cpu").tolist()
    present = run.data.labels[run.data.labels >= 0].bincount(minlength=count).tolist()
    for name, images in zip(run.data.classes, present, strict=True):
        if not images:
            raise KdzooError(
                f"class {name!r} has no labelled training image, and a task is made of its classes' images: give "
                "each class some, or raise data.labels_per_class"
            )
    made: list[Task] = []
    begin = 0
    for number, size in enumerate(sizes(count, tasks, first), 1):
        made.append(Task(number, tuple(order[begin : begin + size]), tuple(order[:begin])))
        begin += size
    columns = torch.tensor([order.index(one) for one in range(count)], device=run.device)
    task_of = torch.tensor([one.number - 1 for one in made for _ in one.classes], device=run.device)
    return Curriculum(tuple(made), columns, task_of)


def _equal(classes: int, tasks: int) -> tuple[int, ...]:
    return tuple(classes // tasks + (number < classes % tasks) for number in range(tasks))
