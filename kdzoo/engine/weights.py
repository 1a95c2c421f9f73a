"""Weights from files, and a hash that tells two sets of weights apart."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from kdzoo.backbone import Backbone
from kdzoo.errors import KdzooError

_PICKLED = (".pth", ".pt", ".bin", ".tar")
_ENVELOPES = ("state_dict", "model")
_PREFIXES = ("_orig_mod.", "module.", "model.")
"""The prefixes that torch.compile, DistributedDataParallel and Backbone add to every key."""


def load_weights(backbone: Backbone, path: Path) -> None:
    """Load the weights in ``path`` into ``backbone``; every parameter and buffer must be present and fit.

    Args:
        backbone: the network; it keeps its device and its dtypes.
        path: a ``.safetensors`` file; a ``.pth`` or ``.pt`` file of tensors, plain or as timm or kdzoo wrap
            them; or an exported folder, whose class names must be the network's.

    Raises:
        KdzooError: no such file, one that cannot be read, or weights that do not fit.

    """
    path = path.expanduser()
    if path.is_dir():
        _check_classes(path, backbone)
        path = path / "model.safetensors"
    backbone.model.load_state_dict(_fitting(read_weights(path), backbone, path))


def weights_hash(module: nn.Module) -> str:
    """The sha256 over the names, dtypes, shapes and bytes of the module's state dict, as 64 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, without the prefixes of wrappers.

    Raises:
        KdzooError: no such file, or one that cannot be read.

    """
    if not path.is_file():
        raise KdzooError(
            f"checkpoint {path}: no such file; expected .safetensors, .pth or .pt, or an exported folder"
        )
    if path.suffix not in (".safetensors", *_PICKLED):
        raise KdzooError(f"checkpoint {path}: unknown kind of file; expected .safetensors, .pth or .pt")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise KdzooError(
            f"checkpoint {path}: corrupt, or holds more than tensors and plain values, which is not loaded; "
            "save the state dict alone, best as .safetensors"
        ) from None
    except Exception as error:  # a damaged pickle can raise any exception
        reason = (str(error).splitlines() or [""])[0]
        raise KdzooError(
            f"checkpoint {path}: cannot be read ({type(error).__name__}: {reason}); is it whole?"
        ) from None
    return _unwrap(content, path)


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(content, Mapping):
        named = all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
        if content and named:
            return dict(content)
        envelope = next((key for key in _ENVELOPES if isinstance(content.get(key), Mapping)), None)
        if envelope is None:
            break
        content = content[envelope]
    found = ", ".join(map(str, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
    raise KdzooError(
        f"checkpoint {path}: holds no state dict (found: {found or 'nothing'}); expected tensors by name, "
        "at the top or under 'state_dict' or 'model'"
    )


def _fitting(weights: dict[str, Tensor], backbone: Backbone, path: Path) -> dict[str, Tensor]:
    """The weights under the names of the timm model."""
    wanted: dict[str, Tensor] = backbone.model.state_dict()
    for prefix in _PREFIXES * 2:  # several may be nested, in any order
        if not any(name in wanted for name in weights) and all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    missing = [name for name in wanted if name not in weights]
    surplus = [name for name in weights if name not in wanted]
    misshapen = [name for name in wanted if name in weights and weights[name].shape != wanted[name].shape]
    if not (missing or surplus or misshapen):
        return weights
    if not (missing or surplus):
        classes = {weights[name].shape[0] for name in misshapen if weights[name].dim()}
        heads = all(
            weights[name].shape[1:] == wanted[name].shape[1:]
            and wanted[name].shape[:1] == (backbone.num_classes,)
            for name in misshapen
        )
        if heads and len(classes) == 1:
            raise KdzooError(
                f"checkpoint {path}: {backbone.name!r} with {classes.pop()} classes; "
                f"the data has {backbone.num_classes}"
            )
    differences = [
        _list("missing", missing),
        _list("not expected", surplus),
        _list(
            "other shapes",
            [f"{name} {tuple(weights[name].shape)} for {tuple(wanted[name].shape)}" for name in misshapen],
        ),
    ]
    raise KdzooError(
        f"checkpoint {path}: does not fit model {backbone.name!r} as the recipe configures it "
        f"({'; '.join(filter(None, differences))})"
    )


def _list(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what}: {', '.join(names[:3])}{more}" if names else ""


def _check_classes(folder: Path, backbone: Backbone) -> None:
    """An exported folder knows its classes: the same number of other ones, or another order, is a mistake."""
    description = folder / "config.json"
    if not description.is_file():
        return
    try:
        names = json.loads(description.read_text(encoding="utf-8")).get("label_names")
    except (ValueError, AttributeError, OSError) as error:
        raise KdzooError(f"checkpoint {description}: not an exported model's description ({error})") from None
    ours = backbone.label_names
    if ours is None or not isinstance(names, list) or len(names) != len(ours) or names == list(ours):
        return
    at = next(index for index, (a, b) in enumerate(zip(names, ours, strict=True)) if a != b)
    raise KdzooError(
        f"checkpoint {folder}: its class {at} is {names[at]!r}, the data's is {ours[at]!r}; name the data's "
        f"folders alike, or pass {folder / 'model.safetensors'} if the names do not matter"
    )
