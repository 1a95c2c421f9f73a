"""Too little memory, in one line; and the largest batch for which there is enough."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import torch

from kdzoo.data.dataset import DataSet
from kdzoo.engine.components import algorithm_of, knowledge_of, scheme_of
from kdzoo.engine.gallery import Gallery
from kdzoo.engine.networks import Networks
from kdzoo.engine.run import TrainingRun
from kdzoo.errors import OutOfMemory
from kdzoo.jobs.folder import RunFolder
from kdzoo.jobs.plan import teacher_recipe
from kdzoo.jobs.resources import Resources
from kdzoo.recipe.decides import is_trained_here
from kdzoo.recipe.model import Recipe
from kdzoo.seeds import seeded

_WORDS = ("DefaultCPUAllocator", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""In torch's errors about memory that have no class of their own."""

_FEWEST = 2
"""Images that a step needs at least: batch normalisation has no statistics of one."""


def lacks_memory(error: BaseException) -> bool:
    """Whether it says that memory could not be allocated, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


@contextmanager
def told_of_memory(name: str, recipe: Recipe, place: RunFolder, device: torch.device) -> Iterator[None]:
    """Say what would help where the memory does not suffice for the job ``name``.

    Raises:
        OutOfMemory: instead of torch's or Python's error.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        size = recipe.data.batch_size
        kept = (
            "; the checkpoint is kept: --resume goes on where there is more memory, another batch size is another run"
            if any(place.checkpoint.glob("*.ckpt"))
            else ""
        )
        raise OutOfMemory(
            f"{name}: out of memory on {device} at data.batch_size {size}. A smaller batch helps: "
            f"-b {max(size // 2, 1)} (with --grad-accum-steps 2 an update has as many images), or -b auto, which "
            f"finds one; so do --amp, a smaller --img-size or a smaller network{kept}"
        ) from None


def find_batch_size(
    recipe: Recipe, first: int, most: int, open_data: Callable[[Recipe], DataSet], resources: Resources
) -> int:
    """The largest power of two times ``first`` whose steps fit into memory, of the run and of its teachers.

    A few steps of the first phase are tried, with networks that are thrown away.

    Args:
        recipe: of the run; its batch size does not count.
        first: the size that is tried first; halved until it fits, or doubled while it does.
        most: the largest size.
        open_data: opens the data of a recipe.
        resources: device and components.

    Raises:
        OutOfMemory: not even the smallest batch fits.
        KdzooError: the recipe cannot be run.
    """

    def fits(size: int) -> bool:
        sized = recipe.model_copy(update={"data": recipe.data.model_copy(update={"batch_size": size})})
        teachers = [
            teacher_recipe(sized, config)
            for role, config in recipe.roles.items()
            if is_trained_here(role, config)
        ]
        return all(_fits(one, open_data(one), resources) for one in (sized, *teachers))

    size = first
    if fits(size):
        while 2 * size <= most and fits(2 * size):
            size *= 2
        return size
    while size >= 2 * _FEWEST:
        size //= 2
        if fits(size):
            return size
    raise OutOfMemory(
        f"data.batch_size auto: {resources.fabric.device} has too little memory for {_FEWEST} images; take a smaller "
        "--img-size or a smaller network"
    )


def _fits(recipe: Recipe, data: DataSet, resources: Resources) -> bool:
    try:
        with tempfile.TemporaryDirectory() as folder, seeded(recipe.seed):
            _few_steps(recipe, data, resources, Path(folder))
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        return False
    finally:
        gc.collect()
        if resources.fabric.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(resources.fabric.device)
    return True


def _few_steps(recipe: Recipe, data: DataSet, resources: Resources, folder: Path) -> None:
    """Steps of the first phase: up to the first update, which creates the optimizer's state, and one more."""
    zoo, fabric = resources.zoo, resources.fabric
    networks = Networks(recipe, data, fabric.device, lambda role, config: None, zoo)
    gallery = Gallery(folder, lambda event: None, writes=False)
    run = TrainingRun(
        recipe, data, fabric, scheme_of(recipe, zoo), knowledge_of(recipe, zoo), networks, gallery
    )
    run.scheme.enroll(run)
    phase = next(iter(algorithm_of(recipe, zoo).phases(run)))
    run.begin_phase(phase.epochs, len(phase.data))  # type: ignore[arg-type]  # the loop says it if there is none
    for step, batch in enumerate(islice(phase.data, recipe.optim.grad_accum_steps + 1)):
        phase.step(run.begin_step(step, batch))
        run.end_step()
    bool(run.finite)  # waits for the GPU
