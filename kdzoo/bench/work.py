"""What a worker does with a task."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from kdzoo.bench.pool import STOP
from kdzoo.bench.task import Task
from kdzoo.zoo import Zoo


def work(task: Task) -> dict[str, Any]:
    """Run the task; one that was interrupted goes on from its checkpoint.

    Returns:
        The run's result, and under ``folder`` where it is.
    """
    import torch

    from kdzoo.jobs.train import train

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    _forget_peak_memory()
    if task.teaches is not None:
        return ensure_teacher(task)
    result = train(task.recipe, task.folder, zoo=_zoo(), job=task.job, resume=True, stop=STOP)
    return {**result, "folder": str(task.folder)}


def ensure_teacher(task: Task) -> dict[str, Any]:
    """Train the teacher that ``task.teaches`` names, unless the teacher cache has it; the result of its run."""
    from kdzoo.jobs.conduct import train_teacher
    from kdzoo.jobs.folder import finished
    from kdzoo.jobs.plan import plan_teacher
    from kdzoo.jobs.resources import Resources
    from kdzoo.jobs.train import make_fabric

    assert task.teaches is not None
    resources = Resources(_zoo(), make_fabric(task.recipe), stop=STOP)
    planned = plan_teacher(task.recipe, task.recipe.roles[task.teaches], task.job, resources)
    train_teacher(planned, resources)
    return {**(finished(planned.folder) or {}), "folder": str(planned.folder)}


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
