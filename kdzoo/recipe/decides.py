"""Which fields of a recipe decide its numbers: all but those in EFFECTS. A test asks where a new field belongs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from kdzoo.files import file_digest
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.component import Component
from kdzoo.recipe.evaluation import Evaluation
from kdzoo.recipe.identity import CONTENT, Identity
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.roles import RoleConfig
from kdzoo.recipe.section import Section
from kdzoo.version import __version__


class Effect(Enum):
    """What a field that does not simply decide the numbers of a run has to do with them."""

    MEASURES = "decides what is measured and when, and not the weights"
    TEACHER = "decides the weights of a teacher that is trained for the run, and else nothing"
    CONTENT = "says where something is; the hash of its content stands for it"
    NOTHING = "decides no number"


EFFECTS: Mapping[str, Effect] = {
    "kdzoo": Effect.CONTENT,  # without the patch version
    "method": Effect.NOTHING,  # a name for what the other fields say
    "roles.*.checkpoint": Effect.CONTENT,
    "roles.*.weights": Effect.CONTENT,
    "roles.*.trust": Effect.NOTHING,
    "roles.*.shard": Effect.NOTHING,
    "roles.*.epochs": Effect.TEACHER,
    "roles.*.seed": Effect.TEACHER,
    "roles.*.lr": Effect.TEACHER,
    "roles.*.optim": Effect.TEACHER,
    "roles.*.augment": Effect.TEACHER,
    "data.dataset": Effect.CONTENT,
    "data.options": Effect.CONTENT,
    "data.data_dir": Effect.CONTENT,
    "data.class_depth": Effect.CONTENT,
    "data.unlabelled": Effect.CONTENT,
    "data.allow_missing": Effect.CONTENT,
    "data.labels_file": Effect.CONTENT,
    "data.test_fraction": Effect.CONTENT,
    "data.crop_pct": Effect.MEASURES,
    "data.interpolation": Effect.MEASURES,
    "data.workers": Effect.NOTHING,
    "data.cache_gb": Effect.NOTHING,
    "data.bad_images": Effect.CONTENT,  # what is skipped is not in the content
    "data.paired": Effect.CONTENT,
    "optim.lr_base": Effect.NOTHING,  # it sets lr
    "optim.lr_base_size": Effect.NOTHING,
    "optim.lr_base_scale": Effect.NOTHING,
    "eval_every": Effect.MEASURES,
    "checkpoint_seconds": Effect.NOTHING,
    "store_gb": Effect.NOTHING,
    "observers": Effect.NOTHING,
}
"""Dotted field -> its effect; ``*`` is the name of a role. Every other field decides the weights and the figures."""

_OPENED = "data.img_size", "data.augment", "data.crop_pct", "data.interpolation"
"""Fields whose defaults are known when the data are opened."""


@dataclass(frozen=True)
class DataFacts:
    """What an opened data set adds to its settings.

    Attributes:
        content: hash of what it holds.
        img_size: side in pixels that it came to.
        augment: how training images are varied, defaults filled in.
        evaluation: how images are prepared for evaluation; None if they are taken as they are.
        validates: whether there is a validation split.
        teaches: whether a teacher's answers come with the images, so that none is trained.
    """

    content: str
    img_size: int
    augment: AugmentConfig
    evaluation: Evaluation | None = None
    validates: bool = True
    teaches: bool = False


def identify(
    recipe: Recipe,
    *,
    data: DataFacts | None,
    plugins: Mapping[str, str],
    processes: int | None = 1,
    weights_only: bool = False,
    kdzoo: str = __version__,
    notes: Mapping[str, str] | None = None,
) -> Identity:
    """The identity of a run.

    Args:
        recipe: a resolved recipe.
        data: of its opened data; None leaves out what only they know, to compare what can be compared without them.
        plugins: ``knowledge.NAME`` -> distribution and version that provide it.
        processes: in which it is trained; None leaves it out.
        weights_only: leave out what decides the figures of a run and not its weights.
        kdzoo: the core's version; its patch version does not count.
        notes: see :class:`Identity`.
    """
    if data is not None:
        known: dict[str, Any] = {"img_size": data.img_size, "augment": data.augment}
        if data.evaluation is not None:
            known |= {"crop_pct": data.evaluation.crop_pct, "interpolation": data.evaluation.interpolation}
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=known)})
    fields: dict[str, Any] = {}
    for name, value in _leaves(recipe):
        effect = EFFECTS.get(_pattern(name))
        if data is None and name in _OPENED:
            continue
        if effect is None or (effect is Effect.MEASURES and not weights_only):
            fields |= _flat(name, value)
    for role, config in recipe.roles.items():
        fields |= _origin(role, config, recipe)
    if data is not None:
        fields[CONTENT] = data.content
    fields["kdzoo"] = f"kdzoo {series(kdzoo)}"
    fields |= {f"plugins.{name}": provider for name, provider in plugins.items()}
    if processes is not None:
        fields["processes"] = processes
    return Identity(json.loads(json.dumps(fields, default=_plain)), dict(notes or {}))


def series(version: str) -> str:
    """Major and minor of a version: releases that differ in nothing else give the same numbers."""
    try:
        return ".".join(map(str, (*Version(version).release, 0)[:2]))
    except InvalidVersion:
        return version


def is_trained_here(role: str, config: RoleConfig) -> bool:
    """Whether a run that needs this role trains it first: a teacher without weights, or one that is to be trained."""
    if not role.startswith("teacher") or config.checkpoint is not None:
        return False
    return config.train in ("head", "full") if _source(config) else config.train != "never"


def _source(config: RoleConfig) -> str | None:
    """Where its weights come from, unless from a checkpoint for the run's own classes."""
    return config.weights or (config.model if config.model.startswith("local-dir:") else None)


def _origin(role: str, config: RoleConfig, recipe: Recipe) -> dict[str, Any]:
    """Where the weights of a role come from: the hash of the files, or what a teacher is trained with."""
    fields: dict[str, Any] = {}
    source = _source(config)
    if source is not None and not source.startswith("hf-hub:") and source != "pretrained":
        fields[f"roles.{role}.weights"] = _content(Path(source.removeprefix("local-dir:")).expanduser())
    elif source is not None:
        fields[f"roles.{role}.weights"] = source
    if config.model.startswith("local-dir:"):
        fields[f"roles.{role}.model"] = "local-dir"
    if config.checkpoint is not None:
        fields[f"roles.{role}.weights"] = _content(config.checkpoint.expanduser())
    known = config.checkpoint is not None or (source is not None and config.train == "never")
    if role.startswith("teacher") and not known:
        fields[f"roles.{role}.epochs"] = config.epochs or recipe.epochs
        own = config.own_optim(recipe.optim)
        fields[f"roles.{role}.lr"] = own.lr
        fields[f"roles.{role}.seed"] = config.seed
        for name, value in own:
            if name != "lr" and f"optim.{name}" not in EFFECTS and value != getattr(recipe.optim, name):
                fields[f"roles.{role}.optim.{name}"] = value
        if config.augment is not None:
            fields[f"roles.{role}.augment"] = config.augment.model_dump()
    return fields


def _content(path: Path) -> str | None:
    """The hash of a file, or of the weights and the description in a folder of timm's layout."""
    if not path.is_dir():
        return file_digest(path)
    names = ("config.json", "model.safetensors", "pytorch_model.bin")
    return file_digest(*(path / name for name in names if (path / name).is_file()))


def _leaves(section: Section, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every field with its value; components and a section that is None are leaves."""
    for key in type(section).model_fields:
        name, value = above + key, getattr(section, key)
        if key == "roles":
            for role, config in value.items():
                yield from _leaves(config, f"roles.{role}.")
        elif isinstance(value, Section) and not isinstance(value, Component):
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def _pattern(name: str) -> str:
    """``roles.student.model`` as ``roles.*.model``, ``roles.teacher.optim.lr`` as ``roles.*.optim``."""
    first, *rest = name.split(".")
    return ".".join([first, "*", *rest[1:2]]) if first == "roles" else name


def _flat(name: str, value: Any) -> dict[str, Any]:
    """A value as plain data, mappings and lists of them as dotted names; a file is known by its content."""
    if isinstance(value, Component):
        own = {key: getattr(value, key) for key in type(value).model_fields if key != "settings"}
        also = {f"settings.{key}" if key in own else key: one for key, one in value.settings.items()}
        return _flat(name, {**own, **also})
    if isinstance(value, tuple) and all(isinstance(one, Component) for one in value):
        return _sum(name, value) if value else {}
    if isinstance(value, Mapping):
        return {dotted: one for key in value for dotted, one in _flat(f"{name}.{key}", value[key]).items()}
    if isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
        return _flat(name, dict(enumerate(value)))
    if isinstance(value, Path):
        return {name: file_digest(value) or str(value)}
    return {name: value}


def _sum(name: str, summands: tuple[Component, ...]) -> dict[str, Any]:
    """One component under the section's own name; several under theirs, with their order."""
    only = summands[0]
    if len(summands) == 1 and getattr(only, "weight", 1) == 1:
        return _flat(name, Component(name=only.name, settings=only.settings))
    fields: dict[str, Any] = {name: [one.name for one in summands]}
    for one in summands:
        fields |= _flat(f"{name}.{one.name}", one)
    return fields


def _plain(value: Any) -> Any:
    """What JSON does not know, as what it knows."""
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
