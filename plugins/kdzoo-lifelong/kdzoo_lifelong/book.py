"""Accuracy on each task so far, measured after every task, with and without known task."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from kdzoo.api import Run
from kdzoo_lifelong.curriculum import Curriculum, Task
from kdzoo_lifelong.functional import average_incremental, backward_transfer, forgetting, seen_accuracy

SETTINGS = ("class-incremental", "task-incremental")
_COUNTS = "lifelong/counts"


class Book:
    """The two accuracy matrices of a run, stored in its state.

    Row i, column j is the accuracy in percent on the test images of task j after task i:
    ``class-incremental`` among all classes so far, ``task-incremental`` among the classes of task j only.

    Args:
        run: its test split is read once after each task; nothing is selected by it.
        curriculum: the run's tasks.

    """

    def __init__(self, run: Run, curriculum: Curriculum) -> None:
        self._run, self._curriculum = run, curriculum

    def matrix(self, setting: str) -> Tensor:
        """(T, T) float64 on the CPU; NaN for entries that are not measured yet."""
        count = len(self._curriculum.tasks)
        kept: Tensor = self._run.state.get(
            _key(setting), torch.full((count, count), torch.nan, dtype=torch.float64, device="cpu")
        )
        return kept.cpu()

    def counts(self) -> Tensor:
        """(T,) test images of each task."""
        counts: Tensor = self._run.state[_COUNTS]
        return counts.cpu()

    def record(self, task: Task, scores: Callable[[Tensor], Tensor]) -> Mapping[str, float]:
        """Fill a row of both matrices, draw and write them. Call it in eval mode.

        Args:
            task: the task that ends.
            scores: images (B, C, H, W) -> (B, K), one for each class of ``task.seen``.

        Returns:
            The row's figures, for the epoch's metrics.

        """
        right, counts = self._count(task, scores)
        self._run.state[_COUNTS] = counts
        figures: dict[str, float] = {}
        for setting, row in zip(SETTINGS, right, strict=True):
            matrix = self.matrix(setting)
            matrix[task.number - 1, : task.number] = (100 * row / counts)[: task.number]
            self._run.state[_key(setting)] = matrix
            figures[setting] = float(seen_accuracy(matrix, counts)[task.number - 1])
            for number in range(task.number):
                figures[f"{setting}/task{number + 1}"] = float(matrix[task.number - 1, number])
        now = self.matrix(SETTINGS[0])[: task.number, : task.number]
        figures["average-incremental"] = float(average_incremental(now, counts[: task.number]))
        figures["forgetting"] = float(forgetting(now))
        self._run.picture("accuracy-matrix", self.draw())
        self._write()
        return figures

    def result(self) -> Mapping[str, float]:
        """The figures of the whole run."""
        counts = self.counts()
        class_matrix, task_matrix = (self.matrix(setting) for setting in SETTINGS)
        return {
            "test/average-incremental": float(average_incremental(class_matrix, counts)),
            "test/forgetting": float(forgetting(class_matrix)),
            "test/backward-transfer": float(backward_transfer(class_matrix)),
            "test/task-incremental": float(seen_accuracy(task_matrix, counts)[-1]),
            "test/task-incremental/average-incremental": float(average_incremental(task_matrix, counts)),
            "test/task-incremental/forgetting": float(forgetting(task_matrix)),
            "test/task-incremental/backward-transfer": float(backward_transfer(task_matrix)),
        }

    def draw(self) -> Figure:
        """Both matrices side by side."""
        count = len(self._curriculum.tasks)
        side = max(3.0, 0.55 * count)
        figure = Figure(figsize=(2 * side + 1.2, side + 0.6), layout="constrained")
        for axes, setting in zip(figure.subplots(1, 2), SETTINGS, strict=True):
            matrix = self.matrix(setting)
            image = axes.imshow(matrix.numpy(), vmin=0, vmax=100, cmap="viridis")
            axes.set(title=setting, xlabel="accuracy on task, %", ylabel="after task")
            ticks = range(0, count, math.ceil(count / 10))
            axes.set_xticks(ticks, [str(tick + 1) for tick in ticks])
            axes.set_yticks(ticks, [str(tick + 1) for tick in ticks])
            if count <= 10:
                for i in range(count):
                    for j in range(i + 1):
                        value = float(matrix[i, j])
                        if not math.isnan(value):
                            color = "black" if value > 60 else "white"
                            axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=color)
        figure.colorbar(image, ax=figure.axes)
        return figure

    def describe(self) -> dict[str, object]:
        """The content of the JSON file: the class names of each task, and both matrices by rows."""
        names = self._run.data.classes
        return {
            "tasks": [[names[one] for one in task.classes] for task in self._curriculum.tasks],
            "test_images": self.counts().tolist(),
            **{
                setting: [
                    [round(value, 4) for value in row if not math.isnan(value)]
                    for row in self.matrix(setting).tolist()
                ]
                for setting in SETTINGS
            },
        }

    def _count(self, task: Task, scores: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """(2, T) correct predictions in both settings, and (T,) numbers of images, for every task."""
        of, tasks = self._curriculum.task_of, len(self._curriculum.tasks)
        modality = self._run.recipe.roles["student"].modality
        right = torch.zeros(2, tasks, dtype=torch.float64, device=self._run.device)
        counts = torch.zeros(tasks, dtype=torch.float64, device=self._run.device)
        for batch in self._run.data.test:
            assert batch.target is not None
            column = self._curriculum.columns_of(batch.target)
            counts += torch.bincount(of[column], minlength=tasks)
            came = column < len(task.seen)
            column = column[came]
            if not len(column):
                continue
            answer = scores(batch.inputs[modality][came]).float()
            own = of[column]
            among = answer.masked_fill(of[: len(task.seen)] != own[:, None], -torch.inf)
            for row, one in zip(right, (answer, among), strict=True):
                row += torch.bincount(own[one.argmax(1) == column], minlength=tasks)
        return right.cpu(), counts.cpu()

    def _write(self) -> None:
        folder = self._run.folder / "lifelong"
        folder.mkdir(exist_ok=True)
        (folder / "accuracy-matrix.json").write_text(json.dumps(self.describe(), indent=2) + "\n")


def _key(setting: str) -> str:
    return f"lifelong/{setting}"
