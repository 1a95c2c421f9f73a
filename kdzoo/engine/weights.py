"""Weights from files, and a hash that tells two sets of weights apart."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from kdzoo.backbone import Backbone
from kdzoo.backbone.adapt import check_names, keep_classes, see_as
from kdzoo.backbone.checkpoint import fitting, read_weights, weights_file
from kdzoo.backbone.origin import describe
from kdzoo.engine.sharded import whole_hash


def load_weights(backbone: Backbone, path: Path, *, resize: bool = True) -> None:
    """Load the weights in ``path`` into ``backbone``; every parameter and buffer must be present and fit.

    A folder in timm's layout says how its network sees images, and in which order its classes are. Without a
    classifier, that of the file is left out.

    Args:
        backbone: the network; it keeps its device and its dtypes.
        path: a ``.safetensors`` file; a ``.pth`` or ``.pt`` file of tensors, plain or as training scripts wrap
            them; or an exported folder, whose class names must be the network's.
        resize: give the network images of the size that an exported folder states.

    Raises:
        KdzooError: no such file, one that cannot be read, or weights that do not fit.

    """
    path = path.expanduser()
    described = describe(path) if (path / "config.json").is_file() else {}
    rows = check_names(path, described.get("label_names"), backbone.label_names)
    file = weights_file(path)
    fitted = fitting(read_weights(file), backbone.model, file, any_head=not backbone.num_classes)
    backbone.model.load_state_dict(fitted)
    see_as(backbone, described, resize=resize)
    if rows is not None:
        assert backbone.label_names is not None
        keep_classes(backbone, rows, backbone.label_names)


def weights_hash(module: nn.Module) -> str:
    """The sha256 over the names, dtypes, shapes and bytes of the module's state dict, as 64 hex digits.

    Of an extra state (``nn.Module.get_extra_state``) that is no tensor, its ``repr`` counts.
    """
    if (known := whole_hash(module)) is not None:
        return known
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if not isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor!r}\n".encode())
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
