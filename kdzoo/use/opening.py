"""From what a user names to a network: a run, an exported student, a file of ``kdzoo export``, a timm model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import timm
import torch
from pydantic import ValidationError
from torch import nn

from kdzoo.backbone import Backbone, build_backbone, find_model
from kdzoo.backbone.adapt import load_origin
from kdzoo.backbone.checkpoint import weights_file
from kdzoo.backbone.evaluation import evaluation_of
from kdzoo.backbone.origin import FOLDER, HUB, TIMM, describe, origin_of
from kdzoo.errors import Fault, KdzooError
from kdzoo.jobs.folder import damage, finished
from kdzoo.recipe.roles import RoleConfig
from kdzoo.use.description import Description, Preprocessing
from kdzoo.use.files import PT2, load_program, of_program, open_file
from kdzoo.use.model import Model, answers_of, multiply_adds
from kdzoo.yaml_text import read_yaml
from kdzoo.zoo import Zoo


def open_model(
    given: str,
    *,
    weights: str | None = None,
    img_size: int | None = None,
    device: torch.device | None = None,
    zoo: Zoo | None = None,
) -> Model:
    """The network that a user names.

    Args:
        given: the folder of a run or of an exported student, a file of ``kdzoo export``, or a timm model.
        weights: of a timm model: ``pretrained`` (default), a file or a folder.
        img_size: side in pixels of its input; default: that of the student, or timm's own.
        device: where torch networks run; files run on the CPU.
        zoo: whose plugins may have the model.

    Raises:
        KdzooError: there is no such network, or it is damaged, or it does not read pictures.
    """
    path = Path(given.removeprefix(FOLDER)).expanduser()
    device = device or torch.device("cpu")
    if weights is not None and (os.path.isfile(path) or os.path.isdir(path)):
        raise KdzooError(f"--weights: {path} has its own weights; they are for the name of a timm model")
    if os.path.isfile(path):
        if img_size is not None:
            raise KdzooError(f"--img-size: the size of {path} was fixed when it was exported")
        return open_file(path)
    if os.path.isdir(path):
        return _student(given, path, img_size, device, zoo)
    if given.startswith(FOLDER) or (not given.startswith(HUB) and (os.sep in given or path.suffix in _FILES)):
        raise KdzooError(f"{given}: no such file or folder")
    return _timm(given, RoleConfig(model=given, weights=weights or TIMM, img_size=img_size), device, zoo)


_FILES = ".onnx", ".pt", ".pt2", ".safetensors", ".pth"


def _student(given: str, path: Path, img_size: int | None, device: torch.device, zoo: Zoo | None) -> Model:
    folder = path / "student" if (path / "student" / "config.json").is_file() else path
    if not (folder / "config.json").is_file():
        unfinished = (path / "metrics.jsonl").is_file()
        what = (
            "the run is not finished, so it has no student"
            if unfinished
            else "neither a finished run nor an exported student (no config.json)"
        )
        raise KdzooError(f"{path}: {what}")
    run = folder.parent if (folder.parent / "recipe.yaml").is_file() and folder.name == "student" else None
    if run is not None:
        _check_run(run)
    if (folder / "model.pt2").is_file():
        if img_size is not None:
            raise KdzooError(f"--img-size: the size of {folder / 'model.pt2'} was fixed when it was exported")
        program = load_program(folder / "model.pt2")
        size = (folder / f"model{PT2}").stat().st_size
        return _model(
            given, program, of_program(folder / "config.json"), torch.device("cpu"), size, folder, run
        )
    config = RoleConfig(model=f"{FOLDER}{folder.absolute()}", img_size=img_size)
    return _timm(given, config, device, zoo, folder, run)


def _check_run(run: Path) -> None:
    """Refuse a student that is damaged, and one that does not read pictures."""
    result = finished(run)
    if result is not None and (fault := damage(run, result)) is not None:
        raise KdzooError(f"{fault}; run it again, or restore the file")
    roles = read_yaml(run / "recipe.yaml").get("roles")
    student = roles.get("student") if isinstance(roles, dict) else None
    modality = student.get("modality", "image") if isinstance(student, dict) else "image"
    if modality != "image":
        raise KdzooError(f"{run}: its student reads the modality {modality!r}, not pictures")


def _timm(
    given: str,
    config: RoleConfig,
    device: torch.device,
    zoo: Zoo | None,
    folder: Path | None = None,
    run: Path | None = None,
) -> Model:
    find_model(config.model, zoo)
    origin = origin_of(config)
    assert origin is not None
    own = describe(folder) if folder is not None else _known(config.model)
    channels, side = (own.get("input_size") or (3, 224, 224))[::2]
    backbone = build_backbone(
        config.model_copy(update={"model": origin.model, "pretrained": origin.path is None}),
        num_classes=origin.num_classes,
        channels=channels,
        img_size=config.img_size or side,
        zoo=zoo,
    )
    if origin.path is not None:
        load_origin(backbone, origin, head=origin.num_classes != 0)
    how = evaluation_of(config.model, zoo)
    names = origin.label_names if origin.num_classes else None
    try:
        description = Description(
            architecture=backbone.name,
            label_names=names,
            output="logits" if origin.num_classes else "features",
            preprocessing=Preprocessing(
                input_size=(channels, *backbone.input_size),
                crop_pct=how.crop_pct, interpolation=how.interpolation, crop_mode=how.crop_mode,
                mean=_decimals(backbone, "mean"), std=_decimals(backbone, "std"),
            ),
        )  # fmt: skip
    except ValidationError as error:
        raise KdzooError(f"{given}: {Fault.first(error)}") from None
    size = 0
    if origin.path is not None:
        size = weights_file(origin.path).stat().st_size
    return _model(given, backbone.model.eval(), description, device, size, folder, run)


def _known(model: str) -> dict[str, Any]:
    found = timm.get_pretrained_cfg(model) if ":" not in model else None
    return {} if found is None else dict(found.to_dict())


def _decimals(backbone: Backbone, name: str) -> tuple[float, ...]:
    """The shortest decimals of float32 values: 0.485, not 0.48500001430511475."""
    return tuple(float(str(value)) for value in getattr(backbone, name).flatten().numpy())


def _model(
    given: str,
    module: nn.Module,
    description: Description,
    device: torch.device,
    size: int,
    folder: Path | None,
    run: Path | None,
) -> Model:
    tensors = [*module.parameters(), *module.buffers()]
    counted = description.model_copy(
        update={
            "parameters": sum(one.numel() for one in module.parameters()),
            "multiply_adds": multiply_adds(module, description.preprocessing),
        }
    )
    module.requires_grad_(False)
    return Model(
        given,
        counted,
        answers_of(module, description.preprocessing, device),
        size or sum(one.nbytes for one in tensors),
        module,
        folder,
        run,
    )
