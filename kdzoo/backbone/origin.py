"""Weights as somebody trained them: where they are, and which classes their classifier knows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import timm
from timm.data import ImageNetInfo, infer_imagenet_subset
from timm.models import load_model_config_from_hf
from torch import Tensor

from kdzoo.backbone.checkpoint import read_weights, weights_file
from kdzoo.backbone.registered import architecture
from kdzoo.errors import KdzooError
from kdzoo.recipe.roles import RoleConfig

FOLDER, HUB, TIMM = "local-dir:", "hf-hub:", "pretrained"


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a role's weights come from.

    Attributes:
        model: what timm builds; a folder or an entry of the hub, which know their arguments, or the role's model.
        path: a file or a folder; None where timm fetches the weights.
        num_classes: of their classifier; 0 = they have none.
        label_names: its classes in the order of the logits; None = not known.
    """

    model: str
    path: Path | None
    num_classes: int
    label_names: tuple[str, ...] | None

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The tensors of the file, as they are named there."""
        assert self.path is not None
        return read_weights(weights_file(self.path))

    def rows_for(self, classes: Sequence[str], *, by_number: bool) -> list[int] | None:
        """Which of its logits stands for each of ``classes``; None if it does not know all of them.

        Args:
            classes: names.
            by_number: take as many other names, too, as the classes in their order.
        """
        names = self.label_names
        if names is not None and classes and set(classes) <= set(names):
            place = {name: row for row, name in enumerate(names)}
            return [place[name] for name in classes]
        alike = bool(classes) and self.num_classes == len(classes)
        return list(range(len(classes))) if alike and (names is None or by_number) else None


def origin_of(config: RoleConfig) -> Origin | None:
    """The weights that a role's ``weights`` name, or the folder that its ``model`` is; None if it names neither.

    Raises:
        KdzooError: they are not there, cannot be read, or are another model's.
    """
    given = config.weights or (config.model if config.model.startswith(FOLDER) else None)
    if given is None:
        return None
    if given == TIMM:
        described = _described_by_timm(config.model)
        origin = Origin(config.model, None, int(described.get("num_classes") or 0), _names(described))
    elif given.startswith(HUB):
        described = _hub_config(given)
        _same_architecture(config.model, given, str(described["architecture"]))
        origin = Origin(given, None, int(described.get("num_classes") or 0), _names(described))
    else:
        path = Path(given.removeprefix(FOLDER)).expanduser()
        if (path / "config.json").is_file():
            described = describe(path)
            model = f"{FOLDER}{path}"
            _same_architecture(config.model, given, architecture(model))
            origin = Origin(model, path, int(described.get("num_classes") or 0), _names(described))
        else:
            origin = _file(path, config.model)
    if config.label_names is None:
        return origin
    if len(config.label_names) != origin.num_classes:
        raise KdzooError(
            f"label_names has {len(config.label_names)} names; the classifier in {given} has {origin.num_classes}"
        )
    return Origin(origin.model, origin.path, origin.num_classes, config.label_names)


def describe(folder: Path) -> dict[str, Any]:
    """What the ``config.json`` of a folder in timm's layout says of its weights, in one level.

    Raises:
        KdzooError: there is none, or it is damaged.
    """
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        described = {**content.get("pretrained_cfg", {}), **content}
        names = described.get("label_names", described.get("labels"))
        if not isinstance(described.get("num_classes", 0), int) or not isinstance(names, list | None):
            raise ValueError("num_classes is a number and label_names a list")
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise KdzooError(f"{path}: not an exported model's description ({error})") from None
    return {**described, "label_names": names}


def _names(described: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The class names that a description has; those of ImageNet's synsets if it has their number and no names."""
    number, names = described.get("num_classes"), described.get("label_names")
    if names:
        return tuple(map(str, names)) if len(names) == number else None
    subset = infer_imagenet_subset(dict(described))
    return tuple(ImageNetInfo(subset).label_names()) if subset else None


def _described_by_timm(model: str) -> dict[str, Any]:
    if model.startswith(FOLDER):
        return describe(Path(model.removeprefix(FOLDER)).expanduser())
    if model.startswith(HUB):
        return _hub_config(model)
    found = timm.get_pretrained_cfg(model)
    return {} if found is None else dict(found.to_dict())


def _hub_config(model: str) -> dict[str, Any]:
    try:
        described, name, _ = load_model_config_from_hf(model.removeprefix(HUB))
    except Exception as error:  # the hub's client has many, offline ones too
        reason = next(iter(str(error).splitlines()), "")
        raise KdzooError(f"{model}: cannot be fetched ({type(error).__name__}: {reason})") from None
    return {**described, "architecture": name}


def _same_architecture(model: str, given: str, theirs: str) -> None:
    ours = architecture(model)
    if ours and ours != theirs:  # of a model on the hub it is not known
        raise KdzooError(f"weights {given}: of model {theirs!r}, and the role's is {ours!r}")


def _file(path: Path, model: str) -> Origin:
    """Of a file that does not describe itself: the size of its classifier tells its classes."""
    unknown = Origin(model, path, 0, None)
    named = _described_by_timm(model).get("classifier") or ()
    for name in (named,) if isinstance(named, str) else named:
        found = [key for key in unknown.weights if f".{key}".endswith(f".{name}.weight")]
        if found:
            number = unknown.weights[min(found, key=len)].shape[0]
            return Origin(model, path, number, _names({"num_classes": number}))
    return unknown
