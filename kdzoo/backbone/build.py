"""From a role's configuration to its network, checked once by a small forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import (
    get_model_input_config,
    is_model,
    parse_model_name,
    resolve_model_input_args,
)

from kdzoo.api.network import Backbone
from kdzoo.backbone.registered import architecture, make_known
from kdzoo.errors import KdzooError, UnknownName
from kdzoo.recipe.roles import RoleConfig
from kdzoo.zoo import Zoo
from kdzoo.zoo.plugin import first_line

_SET_ELSEWHERE = {
    "num_classes": "the data decides it, and the role's head whether there are any",
    "in_chans": "the data decides it",
    "img_size": "set the role's img_size",
    "drop_path_rate": "set the role's drop_path",
    "pretrained": "set the role's pretrained",
    "checkpoint_path": "set the role's checkpoint",
    "features_only": "a role needs logits",
}


def build_backbone(
    config: RoleConfig,
    *,
    num_classes: int,
    channels: int,
    img_size: int,
    label_names: Sequence[str] | None = None,
    zoo: Zoo | None = None,
) -> Backbone:
    """Build the network that ``config`` names; its ``checkpoint`` is not loaded here.

    What it sees: a model of fixed input size its own size; a ``local-dir:`` model the size that its folder
    states; any other the data's size. ``config.img_size`` goes before all three.

    Args:
        config: which timm model, and how.
        num_classes: of the classifier; 0 = none.
        channels: of the data's images.
        img_size: height and width of the data's images in pixels.
        label_names: of the data, in the order of their ids.
        zoo: whose plugins may have the model; default: those that are installed.

    Returns:
        The network in train mode on the CPU.

    Raises:
        KdzooError: an unknown model, arguments that it does not take, an input size that it cannot take, or
            pretrained weights for the same classes in another order.
    """
    for key, instead in _SET_ELSEWHERE.items():
        if key in config.kwargs:
            raise KdzooError(f"kwargs of model {config.model!r}: {key} cannot be set here; {instead}")
    name, local = find_model(config.model, zoo)
    model = _create(name, config, num_classes, channels)
    own = get_model_input_config(model)
    size = tuple(own["input_size"][1:])
    if not own["fixed_input_size"]:
        if config.img_size is not None:
            size = (config.img_size, config.img_size)
        elif not local:
            size = (img_size, img_size)
    if config.pretrained:
        _check_order(config.model, model.pretrained_cfg.get("label_names"), label_names)
    backbone = Backbone(model, input_size=size, label_names=label_names)
    backbone.normalise(config.mean, config.std)
    _probe(backbone, config.model)
    return backbone


def find_model(name: str, zoo: Zoo | None = None) -> tuple[str, bool]:
    """The name of a model as timm takes it, and whether it is a folder's.

    Args:
        name: what a role's ``model`` may be.
        zoo: whose plugins may have it; default: those that are installed.

    Raises:
        KdzooError: nothing has that name.

    """
    try:
        source, rest = parse_model_name(name)
    except ValueError as error:
        raise KdzooError(str(error)) from None
    known = architecture(name)
    if source == "local-dir":
        folder = Path(rest).expanduser()
        if not (folder / "config.json").is_file():
            raise KdzooError(
                f"model {name!r}: {folder} {'has no config.json' if folder.is_dir() else 'is no folder'}; "
                "expected a folder in timm's layout, with config.json and model.safetensors"
            )
        make_known(known, zoo)
        return f"local-dir:{folder}", True
    hint = make_known(known, zoo)
    if source is None and not is_model(known):
        raise UnknownName("timm model", known, timm.list_models(), hint)
    return name, False


def _create(name: str, config: RoleConfig, num_classes: int, channels: int) -> Any:
    arguments = {"num_classes": num_classes, "in_chans": channels, **config.kwargs}
    if config.drop_path is not None:
        arguments["drop_path_rate"] = config.drop_path
    try:
        resolved = resolve_model_input_args(name, {"img_size": config.img_size}, **arguments)
        model = timm.create_model(pretrained=config.pretrained, **resolved)
    except Exception as error:
        asked = {**arguments, **({"img_size": config.img_size} if config.img_size else {})}
        given = ", ".join(f"{key}={value!r}" for key, value in asked.items())
        weights = " with its pretrained weights" if config.pretrained else ""
        raise KdzooError(
            f"timm cannot build model {config.model!r}{weights} from {given}: {first_line(error)}"
        ) from error
    lacking = [name for name in ("pretrained_cfg", "num_classes") if not hasattr(model, name)]
    if lacking:
        raise KdzooError(
            f"model {config.model!r} has no {' and no '.join(lacking)}, which timm's models have: build it with "
            "timm.models.build_model_with_cfg"
        )
    return model


def _check_order(name: str, theirs: Any, ours: Sequence[str] | None) -> None:
    if ours is None or not isinstance(theirs, list | tuple) or list(theirs) == list(ours):
        return
    if sorted(theirs) == sorted(ours):
        raise KdzooError(
            f"model {name!r} has the data's classes in another order ({', '.join(theirs[:3])}, ... where the data "
            f"has {', '.join(ours[:3])}, ...): name the data's folders so that they sort alike"
        )


def _probe(backbone: Backbone, name: str) -> None:
    """Answer two made-up images, so that a wrong size is refused before anything is written."""
    height, width = backbone.input_size
    pixels = torch.linspace(0, 1, 2 * backbone.channels * height * width)  # draws no random numbers
    backbone.eval()
    try:
        with torch.no_grad():
            output = backbone(pixels.reshape(2, backbone.channels, height, width))
    except KdzooError:
        raise
    except Exception as error:
        raise KdzooError(
            f"model {name!r} cannot take images of {height}x{width} pixels ({first_line(error)}): "
            f"give its role another img_size (--student-img-size, --teacher-img-size), {_better_size(backbone)}"
        ) from error
    logits = output.logits if output.has_logits else None
    if backbone.num_classes and (
        not isinstance(logits, torch.Tensor) or logits.shape != (2, backbone.num_classes)
    ):
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise KdzooError(
            f"model {name!r} is no classifier as it is configured: for 2 images and {backbone.num_classes} "
            f"classes it returns {shape}; check the role's kwargs"
        )
    backbone.train()


def _better_size(backbone: Backbone) -> str:
    own = backbone.model.pretrained_cfg["input_size"][-1]
    stages = getattr(backbone.model, "feature_info", ())
    divisor = stages[-1]["reduction"] if stages else 1
    return f"such as {own}, its own" + (f", or a multiple of {divisor}" if divisor > 1 else "")
