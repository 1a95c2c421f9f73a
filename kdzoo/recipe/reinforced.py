"""What a reinforced set says of itself, and the recipe that trains on it.

Dataset reinforcement (Faghri et al. 2023, arXiv 2303.08983), with top-K answers as in FKD (Shen & Xing 2022, arXiv
2112.01528) and TinyViT (Wu et al. 2022, arXiv 2207.10666): a folder with what decides the views in
``reinforced.json``, a file of answers for each view in ``views/``, and the pictures, or a link to them, in
``pictures``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from kdzoo.errors import Fault, KdzooError, shortened
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.roles import RoleConfig

ABOUT, VIEWS, PICTURES, NAMES = "reinforced.json", "views", "pictures", "names.json"

_OF_THE_RUN = frozenset(
    ("data_dir", "dataset", "augment", "batch_size", "drop_last", "workers", "sampling", "class_weights")
) | {"labels_per_class", "crop_pct", "interpolation"}
"""Settings of the data that a set leaves to its runs, or that have a check of their own."""

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Teacher(BaseModel):
    """Whose answers they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    source: str
    weights: Digest


class Facts(BaseModel):
    """``reinforced.json``.

    Attributes:
        format: of the files.
        kdzoo: the version that made it.
        teacher: whose answers they are.
        licence: under which they may be used; empty if nobody said it.
        views: V, how many there are of each image.
        top_k: K, of how many classes the logits are kept.
        precision: of the logits.
        classes: the names of all classes, in the order of the logits.
        seed: of the views.
        batch_size: images that the teacher was asked at once.
        data: the settings of the data that decide their splits and views.
        img_size: side in pixels of the views.
        augment: how the views are varied.
        content: what identifies the pictures.
        images: number of training images.
        files: path below the folder -> sha256; as long as the set is being made not all of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    kdzoo: str
    teacher: Teacher
    licence: str = ""
    views: Annotated[int, Field(gt=0, le=1 << 16)]
    top_k: PositiveInt
    precision: Literal["float16", "float32"]
    classes: tuple[str, ...]
    seed: Annotated[int, Field(ge=0)]
    batch_size: PositiveInt
    data: DataConfig
    img_size: PositiveInt
    augment: AugmentConfig
    content: str
    images: PositiveInt
    files: dict[str, Digest] = {}


def view_file(view: int) -> str:
    """The path of a view's answers below the folder of their set."""
    return f"{VIEWS}/{view:05d}.safetensors"


def read_facts(folder: Path) -> Facts:
    """What the set in ``folder`` says of itself.

    Raises:
        KdzooError: it cannot be read; names the key.
    """
    path = folder / ABOUT
    try:
        facts = Facts.model_validate_json(path.read_bytes())
    except OSError as error:
        raise KdzooError(f"{path}: {error.strerror or error}") from None
    except ValidationError as error:
        raise KdzooError(f"{path}: {Fault.first(error)}") from None
    if facts.top_k > len(facts.classes):
        raise KdzooError(f"{path}: top_k {facts.top_k} of {len(facts.classes)} classes")
    return facts


def finished(folder: Path) -> Facts:
    """What the set in ``folder`` says of itself.

    Raises:
        KdzooError: it cannot be read, or is not finished.
    """
    facts = read_facts(folder)
    wanted = {NAMES, *map(view_file, range(facts.views))}
    if missing := wanted - set(facts.files):
        raise KdzooError(
            f"{folder}: the reinforced set is not finished, {len(missing)} of its {len(wanted)} files are missing; "
            "the command that began it goes on with it"
        )
    return facts


def set_of(config: DataConfig) -> Path | None:
    """The folder of the reinforced set that ``data_dir`` is; None if it is none."""
    if config.dataset != "folder" or config.data_dir is None:
        return None
    folder = config.data_dir.expanduser()
    # os.path: Path.is_file raises for a name that is too long, or that may not be looked up
    return folder if os.path.isfile(folder / ABOUT) else None


def with_reinforced(recipe: Recipe) -> Recipe:
    """The recipe with the settings and the teacher of the reinforced set that its data are; else as it is.

    Raises:
        KdzooError: the set is not finished, or the recipe says something else than the set.
    """
    folder = set_of(recipe.data)
    if folder is None:
        return recipe
    facts = finished(folder)
    roles = dict(recipe.roles)
    if recipe.knowledge or "teacher" in roles:
        roles["teacher"] = _teacher(roles.get("teacher"), facts.teacher.model, folder)
    return recipe.model_copy(update={"data": as_decided(recipe.data, facts, folder), "roles": roles})


def as_decided(given: DataConfig, facts: Facts, folder: Path) -> DataConfig:
    """The settings of the data with those that the set decides.

    Raises:
        KdzooError: a given one is another than the set's.
    """
    own = facts.data
    for name in sorted(given.model_fields_set - _OF_THE_RUN):
        asked, has = getattr(given, name), getattr(own, name)
        if asked != has:
            raise KdzooError(
                f"data.{name} {shortened(asked)}: the reinforced set {folder} was made with {shortened(has)}"
            )
    if given.augment is not None:
        for name in given.augment.model_fields_set or AugmentConfig.model_fields:
            asked, has = getattr(given.augment, name), getattr(facts.augment, name)
            if asked != has:
                raise KdzooError(
                    f"data.augment.{name} {shortened(asked)}: the views of the reinforced set {folder} are made with "
                    f"{shortened(has)}, and the answers in it are to these"
                )
    decided = {name: getattr(own, name) for name in own.model_fields_set - {"data_dir", "dataset"}}
    return given.model_copy(update={**decided, "augment": facts.augment})


def _teacher(given: RoleConfig | None, own: str, folder: Path) -> RoleConfig:
    if given is None:
        return RoleConfig(model=own)
    if given.model != own:
        raise KdzooError(
            f"teacher {shortened(given.model)}: the reinforced set {folder} has the answers of {own}; leave "
            "--teacher out, or train on the pictures themselves"
        )
    if given.checkpoint is not None or given.weights is not None or given.pretrained:
        raise KdzooError(
            f"the reinforced set {folder} has the teacher's answers: leave the weights of the teacher out"
        )
    return given
