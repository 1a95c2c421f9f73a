"""The batch size of a recipe that gives none, or asks for one that fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kdzoo.data.dataset import DataSet
from kdzoo.errors import KdzooError
from kdzoo.jobs.memory import find_batch_size
from kdzoo.jobs.plan import Planned
from kdzoo.jobs.resources import Resources
from kdzoo.recipe.data import AUTO
from kdzoo.recipe.identity import read_identity
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.scaling import scaled

_STEPS = 20
"""Steps of an epoch that a default makes at least, where there are images enough."""

_LEAST, _USUAL, _MOST = 16, 128, 1024


def is_open(recipe: Recipe) -> bool:
    """Whether the batch size depends on what is found: on the number of images, or on the memory."""
    data = recipe.data
    few = data.dataset == "folder" and "batch_size" not in data.model_fields_set
    return data.batch_size == AUTO or few


def as_before(planned: Planned, processes: int) -> Planned:
    """The job with the batch size that its folder's run has, if the recipe leaves it open."""
    before = read_identity(planned.folder) if is_open(planned.recipe) else None
    size = before.fields.get("data.batch_size") if before is not None else None
    if not isinstance(size, int) or size < 1:
        return planned
    return replace(planned, recipe=with_batch_size(planned.recipe, size, processes))


def with_batch_size(recipe: Recipe, size: int, processes: int) -> Recipe:
    """The recipe with this batch size, and the learning rate that follows from it."""
    data = recipe.data.model_copy(update={"batch_size": size})
    return scaled(recipe.model_copy(update={"data": data}), processes)


def fitting(images: int, most: int = _USUAL) -> int:
    """The largest power of two from 16 to ``most`` that makes 20 steps of so many images; 16 if none does."""
    size = _LEAST
    while 2 * size <= most and 2 * size * _STEPS <= images:
        size *= 2
    return size


def settle(
    recipe: Recipe, open_data: Callable[[Recipe], DataSet], resources: Resources
) -> tuple[Recipe, DataSet, str | None]:
    """The recipe with its batch size, its opened data, and what is to be said about it.

    Raises:
        KdzooError: the data cannot be opened, or the memory does not suffice for any batch.
    """
    processes = resources.fabric.world_size
    if not is_open(recipe):
        return recipe, open_data(recipe), None
    usual = with_batch_size(recipe, _USUAL, processes)
    data = open_data(usual)
    images = len(data.training.split) // processes if data.training is not None else None
    size = _USUAL if images is None else fitting(images)
    if recipe.data.batch_size == AUTO:
        if data.reinforced is not None:
            raise KdzooError("data.batch_size auto: not with a reinforced set; give a number")
        if processes > 1:
            raise KdzooError(
                "data.batch_size auto: only in one process; find it with --devices 1, then give the number"
            )
        most = (
            fitting(images, _MOST) if images is not None and resources.fabric.device.type == "cuda" else size
        )
        size = find_batch_size(recipe, size, most, open_data, resources)
        note = f"data.batch_size auto: {size} images a step fit into the memory of {resources.fabric.device}"
    elif size == _USUAL:
        return usual, data, None
    else:
        steps = -(-(images or 0) // size)
        note = f"data.batch_size {size}, for {steps} steps an epoch: the usual {_USUAL} is for more images"
    found = with_batch_size(recipe, size, processes)
    return found, open_data(found), note
