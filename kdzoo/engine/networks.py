"""Networks by role: which timm backbone the recipe names, and where its weights come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import nn

from kdzoo.api.run import Data
from kdzoo.backbone import Backbone, build_backbone
from kdzoo.backbone.adapt import keep_classes, load_origin
from kdzoo.backbone.memory_format import to_channels_last
from kdzoo.backbone.origin import FOLDER, TIMM, Origin, describe, origin_of
from kdzoo.engine.reinforced import AbsentTeacher
from kdzoo.engine.sharded import processes, shard
from kdzoo.engine.teacher_classes import own_classes
from kdzoo.engine.use import student_classes, teacher_use
from kdzoo.engine.weights import load_weights, weights_hash
from kdzoo.errors import KdzooError, shortened
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.roles import RoleConfig
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
        *,
        reads_logits: bool = True,
        absent: AbsentTeacher | None = None,
    ) -> None:
        self._recipe = recipe
        self._data = data
        self._device = device
        self._teacher_weights = teacher_weights
        self._zoo = zoo
        self._from_file: WeakSet[nn.Module] = WeakSet()
        self._modalities: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
        self._reads_logits = reads_logits
        self._absent = absent
        self.sources: dict[str, str] = {}
        self.notes: dict[str, str] = {}
        """What was done with a role's weights that the user should know."""

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
        if self._absent is not None and role.startswith("teacher"):
            if role != "teacher" or arguments or num_classes not in (None, self._absent.num_classes):
                self._absent.refuse("another teacher")
            return self._absent
        config = self.config(role, like)
        number, _ = self._classes
        if num_classes == 0:
            config, num_classes = config.model_copy(update={"head": False}), None
        is_own = num_classes in (None, number) and not arguments
        if arguments:
            plain = {"pretrained": False, "checkpoint": None, "weights": None, "train": None}
            config = config.model_copy(update={"kwargs": {**config.kwargs, **arguments}, **plain})
        if config.modality not in self._data.channels:
            known = ", ".join(self._data.channels)
            raise KdzooError(
                f"roles.{role}.modality {shortened(config.modality)}: the data has {known}; further modalities "
                "come from data.computed and data.paired"
            )
        teacher = role.startswith("teacher")
        given = config.checkpoint is None and not arguments and (config.weights is not None or teacher)
        origin = origin_of(config) if given else None
        if origin is None or (teacher and not is_own):
            network = self._plain(role, config, num_classes, is_own=is_own)
        elif teacher:
            network = self._teacher(role, config, origin)
        else:
            network = self._start(role, config, origin, None if is_own else num_classes)
        self._modalities[network] = config.modality
        if config.shard and not teacher:
            raise KdzooError(f"roles.{role}.shard: only a frozen teacher is kept in parts")
        if config.shard and processes() > 1:
            if self._recipe.data.batch_size == 1:  # not every process would evaluate as many
                raise KdzooError(f"roles.{role}.shard needs a data.batch_size of 2 or more")
            shard(network, self._device, weights_hash(network))
        else:
            network.to(self._device)
            if self._recipe.channels_last:
                to_channels_last(network)
        if self._recipe.compile:
            network.compile()
        return network

    @cached_property
    def _classes(self) -> tuple[int, tuple[str, ...] | None]:
        """How many classes the networks tell apart, and their names.

        The data's; without any those of a trained teacher whose logits are read.
        """
        teacher = next((one for name, one in self._recipe.roles.items() if name.startswith("teacher")), None)
        if self._data.classes or teacher is None:
            return len(self._data.classes), self._data.classes
        wanted = self._reads_logits if teacher.head is None else teacher.head
        return own_classes(teacher) if wanted else (0, None)

    def _plain(self, role: str, config: RoleConfig, num_classes: int | None, *, is_own: bool) -> Backbone:
        """Without weights, or with those for the data's classes."""
        number, teacher = self._classes[0], role.startswith("teacher")
        trained = is_own and _exported_for(config, number)
        if is_own and config.pretrained and not self._data.classes:
            trained = config.checkpoint is None  # nothing here could train it further
        weights = config.checkpoint if is_own else None
        if is_own and weights is None and not trained and teacher:
            if config.train in ("never", "head"):
                raise KdzooError(
                    f"roles.{role} has no weights, and train={config.train}: pass --teacher-weights"
                )
            weights = self._teacher_weights(role, config)
        if num_classes is None:
            num_classes = student_classes(
                role, config.model_copy(update={"train": None} if teacher else {}), number
            )
        network = self._build(
            role, config.model_copy(update={"pretrained": config.pretrained or trained}), num_classes
        )
        if weights is not None:
            load_weights(network, weights, resize=config.img_size is None)
            network.normalise(config.mean, config.std)
        if weights is not None or trained:
            self._from_file.add(network)
            self.sources[role] = str(weights or config.model)
        if config.train == "head" and not teacher:
            network.train_head_only()
        return network

    def _teacher(self, role: str, config: RoleConfig, origin: Origin) -> Backbone:
        """With weights of whatever classes."""
        classes = self._data.classes
        use = teacher_use(role, config, origin, classes, reads_logits=self._reads_logits)
        if use.note:
            self.notes[role] = use.note
        if use.train is not None:
            folder = self._teacher_weights(role, config.model_copy(update={"train": use.train}))
            known = config.model_copy(update={"model": origin.model})
            network = self._build(role, known, 0 if config.head is False else use.num_classes)
            if folder is not None:
                load_weights(network, folder, resize=config.img_size is None)
            network.normalise(config.mean, config.std)
            self.sources[role] = str(folder)
        else:
            network = self._load(role, config, origin, use.num_classes, use.rows)
        self._from_file.add(network)
        return network

    def _start(self, role: str, config: RoleConfig, origin: Origin, num_classes: int | None) -> Backbone:
        """Trained from weights of whatever classes; its head is new unless theirs has the data's classes."""
        own, names = self._classes
        number = num_classes or student_classes(role, config, own)
        rows = None
        if number and num_classes is None:
            rows = origin.rows_for(names or (), by_number=False)
            if names is None and own == origin.num_classes:
                rows = list(range(own))
        if number and rows is None:
            had = f"the {origin.num_classes} classes of its weights are others"
            had = had if origin.num_classes else "its weights have no classifier"
            self.notes[role] = f"{role}: {had}, so its head is new"
        network = self._load(role, config, origin, number if rows is None else origin.num_classes, rows)
        if config.train == "head":
            network.train_head_only()
        return network

    def _load(
        self, role: str, config: RoleConfig, origin: Origin, num_classes: int, rows: Sequence[int] | None
    ) -> Backbone:
        """With the weights of ``origin``; its classifier too if ``rows`` says which logits are the data's classes."""
        named = config.model_copy(update={"model": origin.model, "pretrained": origin.path is None})
        network = self._build(role, named, num_classes)
        if origin.path is not None:
            load_origin(network, origin, head=num_classes == origin.num_classes != 0)
        if rows is not None and list(rows) != list(range(num_classes)):
            with seeded(0):  # the new classifier draws numbers before it is filled
                keep_classes(network, rows, self._classes[1] or ())
        fetched = f"{config.model} {TIMM}" if config.weights == TIMM else origin.model
        self.sources[role] = str(origin.path or fetched)
        return network

    def _build(self, role: str, config: RoleConfig, num_classes: int) -> Backbone:
        with seeded(derive_seed(self._recipe.seed, "build", role)):
            return build_backbone(
                config,
                num_classes=num_classes,
                channels=self._data.channels[config.modality],
                img_size=self._data.img_size,
                label_names=self._classes[1] if num_classes == self._classes[0] else None,
                zoo=self._zoo,
            )

    def modality(self, module: nn.Module) -> str:
        """Which of a batch's inputs a network reads; an assembled one reads what its first network reads."""
        for part in module.modules():
            if part in self._modalities:
                return self._modalities[part]
        return "image"

    def path(self, role: str) -> Path | None:
        """The file or folder that the weights of ``role`` come from."""
        path = Path(self.sources.get(role, "").removeprefix(FOLDER)).expanduser()
        return path if role in self.sources and path.exists() else None

    def from_file(self, module: nn.Module) -> bool:
        """Whether the module's weights are those of a file, so that a checkpoint need not hold them."""
        return module in self._from_file

    def trained_now(self, module: nn.Module) -> None:
        """Mark its weights as changed, so that checkpoints contain them."""
        self._from_file.discard(module)


def _exported_for(config: RoleConfig, classes: int) -> bool:
    """Whether the model's name is that of an exported folder, trained for so many classes."""
    if not config.model.startswith(FOLDER):
        return False
    described = describe(Path(config.model.removeprefix(FOLDER)).expanduser())
    return bool(described.get("num_classes") == classes)
