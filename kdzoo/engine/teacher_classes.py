"""The classes of a network that is trained already, for data that have none."""

from __future__ import annotations

import json
from pathlib import Path

from timm.models import get_pretrained_cfg

from kdzoo.backbone.registered import architecture
from kdzoo.engine.weights import read_weights
from kdzoo.recipe.model import RoleConfig


def own_classes(config: RoleConfig) -> tuple[int, tuple[str, ...] | None]:
    """How many classes the weights of a role tell apart, and their names if these are known; 0 if nothing says it.

    The weights are those of an exported folder, of a checkpoint, or timm's pretrained ones.

    Raises:
        KdzooError: the checkpoint cannot be read.

    """
    if config.model.startswith("local-dir:"):
        return _described(Path(config.model.removeprefix("local-dir:")).expanduser())
    checkpoint = config.checkpoint and config.checkpoint.expanduser()
    if checkpoint is not None and checkpoint.is_dir():
        return _described(checkpoint)
    pretrained = get_pretrained_cfg(architecture(config.model))
    if pretrained is None:
        return 0, None
    if checkpoint is None:
        return (int(pretrained.num_classes) if config.pretrained else 0), None
    given = pretrained.classifier or ""
    classifier = f"{given if isinstance(given, str) else given[0]}.weight"
    found = (one for name, one in read_weights(checkpoint).items() if f".{name}".endswith(f".{classifier}"))
    return next((len(weight) for weight in found), 0), None


def _described(folder: Path) -> tuple[int, tuple[str, ...] | None]:
    """What the ``config.json`` of an exported folder says."""
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # whoever loads the weights says it
        return 0, None
    number = content.get("num_classes") if isinstance(content, dict) else None
    names = content.get("label_names") if isinstance(content, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        return 0, None
    if not isinstance(names, list) or len(names) != number or not number:
        return number, None
    return number, tuple(str(name) for name in names)
