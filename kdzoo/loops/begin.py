"""From a user's networks to a run that gives losses away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor, nn

from kdzoo.api.batch import Batch
from kdzoo.engine.components import knowledge_of, scheme_of
from kdzoo.errors import KdzooError
from kdzoo.loops.given import Given, GivenNetworks
from kdzoo.loops.inputs import Images, by_modality
from kdzoo.loops.one_loss import OneLossRun
from kdzoo.loops.training_set import OutsideData, TrainingSet
from kdzoo.loops.wrap import as_timm
from kdzoo.recipe.model import Recipe
from kdzoo.zoo import Zoo


def begin(
    recipe: Recipe,
    zoo: Zoo,
    models: Mapping[str, nn.Module],
    example: Images | None,
    *,
    renormalize: bool,
    data: TrainingSet | None,
) -> tuple[OneLossRun, Batch]:
    """A run before any enrolment, and an example of its batches.

    Raises:
        KdzooError: the networks' classes differ, there is a single one, or one of them is no image classifier.
    """
    inputs = None if example is None else by_modality(example)
    modalities = {role: config.modality for role, config in recipe.roles.items()}
    used = {
        role: as_timm(model, None if inputs is None else _of(inputs, modalities[role], role))
        for role, model in models.items()
        if role in recipe.roles  # without knowledge the recipe drops the teacher
    }
    if inputs is None:
        config: Any = used["student"].pretrained_cfg
        inputs = {"image": torch.zeros(2, *config["input_size"])}
    kind = next(models["student"].parameters())
    inputs = {name: one.to(kind) for name, one in inputs.items()}
    given = {role: _given(model, _of(inputs, modalities[role], role)) for role, model in used.items()}
    student = given["student"]
    _check_classes(given)
    for network in given.values() if renormalize else ():
        if network is not student:
            network.renormalise(student)
    rows = len(next(iter(inputs.values())))
    target = torch.zeros(rows, dtype=torch.int64, device=kind.device) if student.num_classes else None
    first = Batch(torch.full((rows,), -1, device=kind.device), inputs, target)
    run = OneLossRun(
        recipe,
        OutsideData(data, first, student.num_classes),
        fabric_of(kind.device),
        scheme_of(recipe, zoo),
        knowledge_of(recipe, zoo),
        GivenNetworks(recipe, given),
    )
    return run, first


def fabric_of(device: torch.device) -> Fabric:
    """One process on the device."""
    devices = 1 if device.index is None else [device.index]
    # Named, for in a job of Slurm Fabric would look for other processes.
    return Fabric(accelerator=device.type, devices=devices, plugins=LightningEnvironment())


def _of(inputs: Mapping[str, Tensor], modality: str, role: str) -> Tensor:
    if modality not in inputs:
        raise KdzooError(
            f"the role {role!r} reads the modality {modality!r}; the example has {', '.join(inputs)}"
        )
    return inputs[modality]


def _given(model: nn.Module, example: Tensor) -> Given:
    return Given(model, input_size=(example.shape[-2], example.shape[-1]))


def _check_classes(given: Mapping[str, Given]) -> None:
    own = given["student"].num_classes
    for role, network in given.items():
        if network.num_classes == 1:
            raise KdzooError(
                "a network with one output has no classes to tell apart; a Distiller takes two outputs or more, one "
                "label for each image"
            )
        if own and network.num_classes and network.num_classes != own:
            raise KdzooError(f"the student has {own} classes, the {role} has {network.num_classes}")
