"""Weights in files as people have them: read safely, and brought to the names of a timm model."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from kdzoo.errors import KdzooError

_PICKLED = (".pth", ".pt", ".bin", ".tar", ".ckpt")
_ENVELOPES = ("state_dict_ema", "model_ema", "state_dict", "model", "teacher", "student")
"""Keys under which training scripts keep weights. An average of the weights comes first, as in timm."""

_FOLDER = ("model.safetensors", "pytorch_model.bin")
"""The weights in a folder of timm's layout."""

_COUNTER = "num_batches_tracked"
"""A counter of batch normalisation that old files lack; torch fills in zero."""


def weights_file(path: Path) -> Path:
    """The file with the weights: ``path`` itself, or the one in a folder of timm's layout."""
    if not path.is_dir():
        return path
    return next((path / name for name in _FOLDER if (path / name).is_file()), path / _FOLDER[0])


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors in a ``.safetensors`` file, or in one that torch wrote, plain or in a training script's envelope.

    Nothing in the file is executed: besides tensors and plain values only ``argparse.Namespace``, which timm's
    training script saves, is allowed.

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
        with torch.serialization.safe_globals([argparse.Namespace]):
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


def head_names(model: Any) -> tuple[str, ...]:
    """The names of a timm model's classifiers, such as ``head.fc``; a distilled DeiT has two."""
    named = model.pretrained_cfg.get("classifier") or ()
    return (named,) if isinstance(named, str) else tuple(named)


def fitting(
    weights: Mapping[str, Tensor], model: Any, path: Path, *, any_head: bool = False
) -> dict[str, Tensor]:
    """The weights under the names of a timm ``model``.

    Prefixes of other libraries are removed: those of torch.compile, DistributedDataParallel, Lightning, DINO
    (``teacher.`` before ``student.``), or any other; what a training script keeps beside the network is left out.

    Args:
        weights: tensors by name.
        model: the timm model.
        path: of their file, for messages.
        any_head: leave out the classifier, and whatever belongs to it and does not fit.

    Raises:
        KdzooError: they do not fit; names the first differences.
    """
    wanted: dict[str, Tensor] = model.state_dict()
    heads = head_names(model) if any_head else ()
    tops = {
        name.partition(".")[0] + "." for name in heads
    }  # `head.norm` beside `head.fc` belongs to the body
    body = [name for name in wanted if not any(name.startswith(top) for top in tops)]
    prefix = next(_prefixes(weights, body), None)
    if prefix is None:
        prefix = _common_prefix(weights, wanted)
    named = {name.removeprefix(prefix): one for name, one in weights.items() if name.startswith(prefix)}
    for name, tensor in wanted.items():
        if name.endswith(_COUNTER):
            named.setdefault(name, torch.zeros_like(tensor))
    misshapen = [name for name in wanted if name in named and named[name].shape != wanted[name].shape]
    missing = [name for name in wanted if name not in named]
    surplus = [name for name in named if name not in wanted]
    if any_head:
        classifier = [name for name in named if name.startswith(tuple(f"{head}." for head in heads))]
        others = {name for name in (*misshapen, *missing, *surplus) if any(map(name.startswith, tops))}
        others.update(classifier)
        misshapen, missing, surplus = (
            [name for name in names if name not in others] for names in (misshapen, missing, surplus)
        )
        named = {name: one for name, one in named.items() if name not in others}
    if not (missing or surplus or misshapen):
        return named
    _refuse(model, path, named, missing, surplus, misshapen)
    raise AssertionError


def _prefixes(weights: Mapping[str, Tensor], body: list[str]) -> Iterator[str]:
    """The prefixes under which all of ``body`` is there: none first, then averages of the network."""
    needed = [name for name in body if not name.endswith(_COUNTER)]
    anchor = max(needed, key=len)
    found = {name.removesuffix(anchor) for name in weights if name.endswith(anchor)}
    whole = [
        one
        for one in found
        if (not one or one.endswith(".")) and all(one + name in weights for name in needed)
    ]
    yield from sorted(
        whole, key=lambda one: (one != "", not ("model_ema" in one or "teacher" in one), len(one), one)
    )


def _common_prefix(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """What all names begin with, where some of them are the model's without it."""
    first = next(iter(weights)).split(".")
    for length in range(len(first)):
        prefix = "".join(f"{part}." for part in first[:length])
        if not all(name.startswith(prefix) for name in weights):
            break
        if any(name.removeprefix(prefix) in wanted for name in weights):
            return prefix
    return ""


def _refuse(
    model: Any,
    path: Path,
    named: Mapping[str, Tensor],
    missing: list[str],
    surplus: list[str],
    misshapen: list[str],
) -> None:
    wanted: dict[str, Tensor] = model.state_dict()
    if not (missing or surplus):
        classes = {named[name].shape[0] for name in misshapen if named[name].dim()}
        heads = all(
            named[name].shape[1:] == wanted[name].shape[1:] and wanted[name].shape[:1] == (model.num_classes,)
            for name in misshapen
        )
        if heads and len(classes) == 1:
            raise KdzooError(
                f"checkpoint {path}: {model.pretrained_cfg['architecture']!r} with {classes.pop()} classes; "
                f"the data has {model.num_classes}"
            )
    differences = [
        _list("missing", missing),
        _list("not expected", surplus),
        _list(
            "other shapes",
            [f"{name} {tuple(named[name].shape)} for {tuple(wanted[name].shape)}" for name in misshapen],
        ),
    ]
    raise KdzooError(
        f"checkpoint {path}: does not fit model {model.pretrained_cfg['architecture']!r} as the recipe configures it "
        f"({'; '.join(filter(None, differences))})"
    )


def _list(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what}: {', '.join(names[:3])}{more}" if names else ""
