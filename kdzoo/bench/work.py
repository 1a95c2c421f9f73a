"""What a worker does with a task."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from kdzoo.bench.task import Task
from kdzoo.recipe.model import Recipe
from kdzoo.zoo import Zoo


def work(task: Task) -> dict[str, Any]:
    """Run the task; one that was interrupted goes on from its checkpoint.

    Returns:
        The run's result, and under ``folder`` where it is.
    """
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    _forget_peak_memory()
    if task.teaches is not None:
        return ensure_teacher(task)
    return {**_train(task.recipe, task.folder, task), "folder": str(task.folder)}


def ensure_teacher(task: Task) -> dict[str, Any]:
    """Train the teacher that ``task.teaches`` names, unless the teacher cache has it; the result of its run."""
    from kdzoo.data.open import open_data
    from kdzoo.jobs.folder import finished
    from kdzoo.jobs.teachers import trained_teacher
    from kdzoo.jobs.train import make_fabric

    assert task.teaches is not None
    recipe = task.recipe
    data = open_data(
        recipe.data.model_copy(update={"withhold_train": False}),
        seed=recipe.seed,
        device=make_fabric(recipe).device,
        channels_last=recipe.channels_last,
        rank=0,
        world=1,
    )
    role = recipe.roles[task.teaches]
    weights = trained_teacher(
        recipe,
        role,
        data.content_hashes[role.modality],
        lambda alone, folder: _train(alone, folder, task),
    )
    return {**(finished(weights.parent) or {}), "folder": str(weights.parent)}


def _train(recipe: Recipe, folder: Path, task: Task) -> Mapping[str, Any]:
    from kdzoo.jobs.train import train

    return train(recipe, folder, zoo=_zoo(), job=task.job, resume=True)


@cache
def _zoo() -> Zoo:
    return Zoo()


def _forget_peak_memory() -> None:
    """Let the run's peak memory be its own, and not that of the largest task that this process ever had."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError, AttributeError):  # glibc and Linux; elsewhere the peak is the process's
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
