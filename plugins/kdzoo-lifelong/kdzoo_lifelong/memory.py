"""The few training images of earlier classes that may be kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from kdzoo.api import KdzooError, Run
from kdzoo_lifelong.curriculum import Task
from kdzoo_lifelong.functional import herd

Budget = Literal["total", "class"]
Selection = Literal["herding", "random"]


class Memory:
    """Rows of the training split, by class, kept in the run's state.

    Args:
        run: whose training images they are.
        images: how many.
        budget: of all classes together, shared equally, or of each class.
        selection: how they are chosen.

    Raises:
        KdzooError: fewer images than classes.

    """

    def __init__(self, run: Run, images: int, budget: Budget, selection: Selection) -> None:
        classes = len(run.data.classes)
        if budget == "total" and 0 < images < classes:
            raise KdzooError(
                f"algorithm.memory {images}: too small for {classes} classes; take one image for each at least, or "
                "0 for no memory"
            )
        self._run, self._images, self._budget, self._selection = run, images, budget, selection

    def __bool__(self) -> bool:
        return self._images > 0

    def rows(self, task: Task) -> Tensor:
        """(n,) the rows that are kept when ``task`` ends; none if there is no memory."""
        return torch.cat([*self.lists(task), torch.zeros(0, dtype=torch.int64, device=self._run.device)])

    def lists(self, task: Task) -> list[Tensor]:
        """The rows of each class of ``task.seen``, the most important first."""
        kept: list[Tensor] = self._run.state.get(_key(task.number), [])
        return kept

    def update(self, task: Task) -> None:
        """Shorten the lists of the earlier classes and choose rows of the new ones, by the student as it is now."""
        if not self._images:
            return
        each = self._images if self._budget == "class" else self._images // len(task.seen)
        kept = [rows[:each] for rows in self._run.state.get(_key(task.number - 1), [])]
        self._run.state[_key(task.number)] = kept + [self._choose(one, each) for one in task.classes]

    def _choose(self, label: int, count: int) -> Tensor:
        rows = rows_of(self._run, [label])
        if self._selection == "random":
            generator = self._run.generator("memory")
            chosen = torch.randperm(len(rows), generator=generator, device=self._run.device)[:count]
        else:
            chosen = herd(embeddings(self._run, rows), count)
        return rows[chosen]


def rows_of(run: Run, classes: Sequence[int]) -> Tensor:
    """(n,) ascending rows of the training images of these classes whose label is known."""
    wanted = torch.tensor(list(classes), device=run.device)
    return torch.isin(run.data.labels, wanted).nonzero()[:, 0]


def embeddings(run: Run, rows: Tensor) -> Tensor:
    """(n, D) what the student's classifier reads of these training images, not augmented. In eval mode only."""
    student = run.roles["student"]
    modality = run.recipe.roles["student"].modality
    parts = []
    for some in torch.split(rows, run.recipe.data.batch_size):
        images = run.data.fetch(some, view=None).inputs[modality]
        with run.autocast():
            parts.append(student(images, (), True).embedded.float())
    return torch.cat(parts)


def _key(number: int) -> str:
    # By task: a script that is run again finds for each phase what that phase had.
    return f"lifelong/memory/{number}"
