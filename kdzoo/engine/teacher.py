"""The teacher cache: a teacher is trained once and found again by the hash of what made it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from kdzoo.places import cache_folder
from kdzoo.recipe.model import Component, Recipe, RoleConfig
from kdzoo.recipe.writing import dump

_NOT_WEIGHTS = ("observers", "checkpoint_seconds", "method", "eval_every")
"""Keys of a recipe that do not change the weights that it leads to."""


def teacher_recipe(recipe: Recipe, role: RoleConfig) -> Recipe:
    """The recipe that trains ``role`` alone, on every label of what it reads, with the run's data and optimizer.

    The seed is the role's own: one teacher serves every seed of the students.
    """
    optim = recipe.optim.model_copy(update={"lr": role.lr} if role.lr else {})
    alone = role.model_copy(update={"epochs": None, "lr": None, "seed": 0})
    data = recipe.data
    read = {
        "labels_per_class": None,
        "withhold_train": False,
        "computed": {name: kind for name, kind in data.computed.items() if name == role.modality},
        "paired": {name: path for name, path in data.paired.items() if name == role.modality},
    }
    return recipe.model_copy(
        update={
            "method": None,
            "knowledge": (),
            "scheme": Component(name="offline"),
            "algorithm": Component(name="distill", settings={"task_weight": 1.0, "teach_weight": 0.0}),
            "roles": {"student": alone},
            "data": data.model_copy(update=read),
            "optim": optim,
            "epochs": role.epochs or recipe.epochs,
            "seed": role.seed,
            "smoothing": 0.0,
            "compile": False,
        }
    )


def recipe_hash(recipe: Recipe, *more: str) -> str:
    """A hash of everything in the recipe that decides the weights, and of ``more``."""
    content = {key: value for key, value in dump(recipe).items() if key not in _NOT_WEIGHTS}
    content["data"].pop("workers", None)
    text = json.dumps([content, *more], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def trained_teacher(
    recipe: Recipe, role: RoleConfig, data_hash: str, train: Callable[[Recipe, Path], Mapping[str, Any]]
) -> Path:
    """The folder of a trained teacher's weights; it is trained first if nobody has done so yet.

    Args:
        recipe: the run that needs it.
        role: the network.
        data_hash: of the data that it is trained on.
        train: trains a recipe in a folder; goes on where an interrupted run stopped.
    """
    alone = teacher_recipe(recipe, role)
    folder = cache_folder() / "teachers" / f"{_readable(role.model)}-{recipe_hash(alone, data_hash)[:16]}"
    if not (folder / "student" / "model.safetensors").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            train(alone, folder)
    return folder / "student"


def _readable(model: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in Path(model).name)
