"""Planned jobs: a student's, and those of the teachers that it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kdzoo.api.observer import Job
from kdzoo.data.decode import Progress
from kdzoo.engine.components import components_of
from kdzoo.jobs.identity import facts_of, identity_of
from kdzoo.jobs.resources import Resources
from kdzoo.jobs.teacher_folder import teacher_folder
from kdzoo.recipe.component import Component
from kdzoo.recipe.early_stopping import EarlyStoppingConfig
from kdzoo.recipe.ema import EmaConfig
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.roles import RoleConfig


@dataclass(frozen=True)
class Planned:
    """A planned job.

    Attributes:
        recipe: a resolved recipe.
        folder: the run's folder.
        job: the purpose of the run.
        weights_only: whether only its weights are needed, as for a teacher: settings of the evaluation are then not
            part of its identity.
        tests: whether it may read the test split. Without, the validation split takes its place, and no figure of
            the result is called one of the test split.
    """

    recipe: Recipe
    folder: Path
    job: Job
    weights_only: bool = False
    tests: bool = True


def teacher_recipe(recipe: Recipe, role: RoleConfig) -> Recipe:
    """The recipe that trains ``role`` alone, on all labels, with the run's data, and its optimizer or the role's own.

    The seed is the role's own: one teacher serves every seed of the students.
    """
    own = {"head": None, "trust": False, "shard": False, "train": "head" if role.train == "head" else None}
    as_run = {"epochs": None, "lr": None, "seed": 0, "optim": None, "augment": None}
    alone = role.model_copy(update={**as_run, **own})
    data = recipe.data
    read = {
        **({} if role.augment is None else {"augment": role.augment}),
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
            "optim": role.own_optim(recipe.optim),
            "epochs": role.epochs or recipe.epochs,
            "seed": role.seed,
            "smoothing": 0.0,
            "compile": False,
            "model_ema": EmaConfig(),
            "early_stopping": EarlyStoppingConfig(),
        }
    )


def plan_teacher(
    recipe: Recipe,
    role: RoleConfig,
    job: Job,
    resources: Resources,
    progress: Progress | None = None,
    warn: Callable[[str], None] = lambda message: None,
) -> Planned:
    """The job that trains a teacher in the cache, in a folder named by the hash of what determines its weights.

    Args:
        recipe: the run that needs it.
        role: the network.
        job: the purpose of the teacher's run.
        resources: shared with the run that needs it.
        progress: called with the progress of decoding its data.
        warn: called if stored images are damaged.
    """
    alone = teacher_recipe(recipe, role)
    identity = identity_of(
        alone,
        facts_of(resources.open(alone, progress, warn)),
        components_of(alone, resources.zoo),
        processes=resources.fabric.world_size,
        weights_only=True,
    )
    return Planned(alone, teacher_folder(role, identity), job, weights_only=True)
