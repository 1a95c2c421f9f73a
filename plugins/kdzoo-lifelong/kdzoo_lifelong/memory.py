"""The replay memory: a few training images of earlier classes."""

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
    """Rows of the training split, by class, stored in the run's state.

    Args:
        run: the run with the training images.
        images: number of images.
        budget: whether that is for all classes together, shared equally, or for each class.
        selection: how images are selected.

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
        """(n,) the rows in memory after ``task``; empty without a memory."""
        return torch.cat([*self.lists(task), torch.zeros(0, dtype=torch.int64, device=self._run.device)])

    def lists(self, task: Task) -> list[Tensor]:
        """The rows of each class of ``task.seen``, most important first."""
        kept: list[Tensor] = self._run.state.get(_key(task.number), [])
        return kept

    def update(self, task: Task) -> None:
        """Truncate the lists of the earlier classes and select rows of the new ones with the current student."""
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
    """(n,) ascending rows of the labelled training images of these classes."""
    wanted = torch.tensor(list(classes), device=run.device)
    return torch.isin(run.data.labels, wanted).nonzero()[:, 0]


def embeddings(run: Run, rows: Tensor) -> Tensor:
    """(n, D) embeddings of these training images without augmentation. Call it in eval mode."""
    student = run.roles["student"]
    modality = run.recipe.roles["student"].modality
    parts = []
    for some in torch.split(rows, run.recipe.data.batch_size):
        images = run.data.fetch(some, view=None).inputs[modality]
        with run.autocast():
            parts.append(student(images, (), True).embedded.float())
    return torch.cat(parts)


def _key(number: int) -> str:
    # By task: on resume, the script runs again and each phase finds its own memory.
    return f"lifelong/memory/{number}"
