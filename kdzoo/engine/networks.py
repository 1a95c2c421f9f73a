"""Networks by role: which timm backbone the recipe names, and where its weights come from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import nn

from kdzoo.api.run import Data
from kdzoo.backbone import Backbone, build_backbone
from kdzoo.backbone.memory_format import to_channels_last
from kdzoo.engine.teacher_classes import own_classes
from kdzoo.engine.weights import load_weights
from kdzoo.errors import KdzooError, shortened
from kdzoo.recipe.model import Recipe, RoleConfig
from kdzoo.seeds import derive_seed, seeded
from kdzoo.zoo import Zoo

TeacherWeights = Callable[[str, RoleConfig], Path | None]
"""(role, config) -> the folder of trained weights; None leaves the network untrained, to find its shapes."""


class Networks:
    """Builds the network of a role. Roles named ``teacher...`` are never untrained."""

    def __init__(
        self,
        recipe: Recipe,
        data: Data,
        device: torch.device,
        teacher_weights: TeacherWeights,
        zoo: Zoo | None = None,
    ) -> None:
        self._recipe = recipe
        self._data = data
        self._device = device
        self._teacher_weights = teacher_weights
        self._zoo = zoo
        self._from_file: WeakSet[nn.Module] = WeakSet()
        self._modalities: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
        self.sources: dict[str, str] = {}

    def config(self, role: str, like: str | None = None) -> RoleConfig:
        """The recipe's config for ``role``, for its name without trailing digits, or for ``like``.

        A numbered teacher that is trained here under another's name gets a seed of its own.

        Raises:
            KdzooError: the recipe names none of them.
        """
        roles = self._recipe.roles
        stem = role.rstrip("0123456789")
        for name in (role, stem, like):
            if name not in roles:
                continue
            config = roles[name]
            if name != role and stem == "teacher":
                return config.model_copy(update={"seed": config.seed + int(role.removeprefix(stem) or 0)})
            return config
        raise KdzooError(
            f"the recipe names no model for the role {role!r}: pass --{role} MODEL"
            if role in ("teacher", "student")
            else f"the recipe names no model for the role {role!r}: pass --set roles.{role}=MODEL"
        )

    def build(
        self,
        role: str,
        like: str | None = None,
        num_classes: int | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> Backbone:
        """The backbone of ``role``, on the device, with its weights loaded."""
        config = self.config(role, like)
        number, names = self._classes()
        is_own = num_classes in (None, number) and not arguments
        if arguments:
            config = config.model_copy(
                update={"kwargs": {**config.kwargs, **arguments}, "pretrained": False, "checkpoint": None}
            )
        if config.modality not in self._data.channels:
            known = ", ".join(self._data.channels)
            raise KdzooError(
                f"roles.{role}.modality {shortened(config.modality)}: the data has {known}; further modalities "
                "come from data.computed and data.paired"
            )
        trained = is_own and _exported_for(config, number, role)
        if is_own and config.pretrained and not self._data.classes:
            trained = config.checkpoint is None  # nothing here could train it further
        weights = config.checkpoint if is_own else None
        if is_own and weights is None and not trained and role.startswith("teacher"):
            weights = self._teacher_weights(role, config)
        with seeded(derive_seed(self._recipe.seed, "build", role)):
            network = build_backbone(
                config.model_copy(update={"pretrained": config.pretrained or trained}),
                num_classes=num_classes or number,
                channels=self._data.channels[config.modality],
                img_size=self._data.img_size,
                label_names=names if num_classes in (None, number) else None,
                zoo=self._zoo,
            )
        self._modalities[network] = config.modality
        if weights is not None:
            load_weights(network, weights)
        if weights is not None or trained:
            self._from_file.add(network)
            self.sources[role] = str(weights or config.model)
        network.to(self._device)
        if self._recipe.channels_last:
            to_channels_last(network)
        if self._recipe.compile:
            network.compile()
        return network

    def _classes(self) -> tuple[int, tuple[str, ...] | None]:
        """How many classes the networks tell apart, and their names: the data's, else those of a trained teacher."""
        teacher = next((one for name, one in self._recipe.roles.items() if name.startswith("teacher")), None)
        if self._data.classes or teacher is None:
            return len(self._data.classes), self._data.classes
        return own_classes(teacher)

    def modality(self, module: nn.Module) -> str:
        """Which of a batch's inputs a network reads; an assembled one reads what its first network reads."""
        for part in module.modules():
            if part in self._modalities:
                return self._modalities[part]
        return "image"

    def from_file(self, module: nn.Module) -> bool:
        """Whether the module's weights are those of a file, so that a checkpoint need not hold them."""
        return module in self._from_file

    def trained_now(self, module: nn.Module) -> None:
        """Mark its weights as changed, so that checkpoints contain them."""
        self._from_file.discard(module)


def _exported_for(config: RoleConfig, classes: int, role: str) -> bool:
    """Whether the model's name is that of an exported folder, trained for these classes."""
    if not config.model.startswith("local-dir:"):
        return False
    description = Path(config.model.removeprefix("local-dir:")).expanduser() / "config.json"
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
    except OSError as error:
        raise KdzooError(
            f"{description}: {error.strerror or error}; expected a folder exported by kdzoo or timm"
        ) from None
    except ValueError:
        raise KdzooError(f"{description}: not JSON; expected a folder exported by kdzoo or timm") from None
    found = content.get("num_classes") if isinstance(content, dict) else None
    if role.startswith("teacher") and found != classes:
        raise KdzooError(f"{description}: the {role} has {found} classes, the data has {classes}")
    return bool(found == classes)
