"""The function that workers call with a task."""

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
    """Run the task, from its checkpoint if it was interrupted.

    Returns:
        The run's result, with its path as ``folder``.
    """
    import torch

    from kdzoo.jobs.train import train

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    _forget_peak_memory()
    if task.teaches is not None:
        return ensure_teacher(task)
    result = train(
        task.recipe, task.folder, zoo=_zoo(), job=task.job, resume=True, stop=STOP, tests=task.tests
    )
    return {**result, "folder": str(task.folder)}


def ensure_teacher(task: Task) -> dict[str, Any]:
    """Train the teacher of ``task.teaches``, unless the teacher cache has it; returns the result of its run."""
    from kdzoo.jobs.conduct import train_teacher
    from kdzoo.jobs.folder import finished
    from kdzoo.jobs.plan import plan_teacher
    from kdzoo.jobs.resources import Resources
    from kdzoo.jobs.train import make_fabric

    assert task.teaches is not None
    resources = Resources(_zoo(), make_fabric(task.recipe), stop=STOP)
    planned = plan_teacher(task.recipe, task.recipe.roles[task.teaches], task.job, resources, warn=_log)
    train_teacher(planned, resources, _log)
    return {**(finished(planned.folder) or {}), "folder": str(planned.folder)}


def _log(line: str) -> None:
    """Say it in the log of this worker."""
    print(line, flush=True)


@cache
def _zoo() -> Zoo:
    return Zoo()


def _forget_peak_memory() -> None:
    """Reset the peak memory, so that it is the run's and not that of an earlier task of this process."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError, AttributeError):  # Linux with glibc only; elsewhere it is the peak of the process
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
