"""The teacher of the checks: random weights, always the same."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.roles import RoleConfig

_SEVERAL = 4
"""Number of different teachers; schemes of the small recipe have no more."""


def with_random_teachers(recipe: Recipe) -> Recipe:
    """The recipe with random weights for every teacher without weights, so that none has to be trained."""
    data = recipe.data.model_dump_json()
    named = dict(recipe.roles)
    if "teacher" in named:
        for number in range(1, _SEVERAL + 1):
            own = named["teacher"].model_copy(update={"seed": named["teacher"].seed + number})
            named.setdefault(f"teacher{number}", own)
    roles = {
        name: role.model_copy(update={"checkpoint": _weights(role.model_dump_json(), data), "trust": True})
        if name.startswith("teacher") and role.checkpoint is None and not (role.pretrained or role.weights)
        else role
        for name, role in named.items()
    }
    return recipe.model_copy(update={"roles": roles})


@cache
def _weights(role: str, data: str) -> Path:
    """The file with the weights."""
    import torch

    from kdzoo.backbone import build_backbone
    from kdzoo.data.open import open_data

    config = RoleConfig.model_validate_json(role)
    opened = open_data(DataConfig.model_validate_json(data), seed=0, device=torch.device("cpu"))
    place = _folder() / f"{len(list(_folder().iterdir()))}.pth"
    with torch.random.fork_rng():
        torch.manual_seed(7 + config.seed)
        network = build_backbone(
            config,
            num_classes=len(opened.classes),
            channels=opened.channels[config.modality],
            img_size=opened.img_size,
        )
    torch.save(network.model.state_dict(), place)
    return place


@cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="kdzoo-check-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
