"""The store of a run: where teachers' answers are kept, and everything but the weights that decides them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch
from lightning_fabric import Fabric

from kdzoo.data.dataset import PIXELS, DataSet
from kdzoo.engine.components import knowledge_of
from kdzoo.engine.reinforced import ReinforcedAnswers
from kdzoo.engine.store import Replays, Store
from kdzoo.places import cache_folder
from kdzoo.recipe.decides import EFFECTS, Effect
from kdzoo.recipe.identity import CONTENT, Identity
from kdzoo.recipe.model import Recipe
from kdzoo.version import __version__
from kdzoo.zoo import Zoo

_FORMAT = 2  # increase it when the same recipe makes other views
_FIELDS = ("seed", "precision", "channels_last", "compile", "deterministic", "processes")


def open_store(
    recipe: Recipe, identity: Identity, data: DataSet, fabric: Fabric, warn: Callable[[str], None]
) -> Replays | None:
    """The store, unless the recipe has none or the images are read anew in every epoch and may change.

    The answers of a reinforced set, where the data are one.

    Raises:
        KdzooError: such a set is damaged.
    """
    if data.reinforced is not None:
        room = int(recipe.store_gb * 1e9)
        return ReinforcedAnswers(data.reinforced, recipe.seed, data.train.split.index, fabric.device, room)
    if not recipe.store_gb or data.streams:
        return None
    decides = _decides(identity)
    decides |= {"format": _FORMAT, "kdzoo": __version__, "rank": fabric.global_rank}
    decides |= {name: version(name) for name in ("torch", "timm")}
    decides["device"] = _device(fabric.device)
    return Store(cache_folder() / "answers", decides, int(recipe.store_gb * 1e9), warn)


def shared_answers(recipe: Recipe, identity: Identity, zoo: Zoo) -> tuple[str, bool]:
    """What runs share that can replay each other's answers, if their teachers have the same weights.

    Returns:
        A text that is equal for such runs, empty if nothing is kept; and whether embeddings are read, which a run
        that reads logits alone does not record.
    """
    taps = [part.make().taps for part in knowledge_of(recipe, zoo)]
    teachers = {name: value for name, value in identity.fields.items() if name.startswith("roles.teacher")}
    if not (recipe.store_gb and teachers and str(identity.fields.get(CONTENT)).startswith(PIXELS)):
        return "", False
    if any(one.probes_of("teacher") for one in taps):
        return "", False
    stages = sorted({stage for one in taps for stage in one.of("teacher")})
    plain = json.dumps([{**_decides(identity), **teachers}, stages], sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest(), any(one.embedding for one in taps)


def _decides(identity: Identity) -> dict[str, Any]:
    """The part of a run's identity that decides what its frozen teachers are asked, and how they compute."""
    return {
        name: value
        for name, value in identity.fields.items()
        if name in _FIELDS or (name.startswith("data.") and EFFECTS.get(name) is not Effect.MEASURES)
    }


def _device(device: torch.device) -> str:
    """The kind of device: other kernels, or another number of threads, may give other last bits."""
    if device.type == "cuda":
        tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]  # torch gives it no type
        return f"{torch.cuda.get_device_name(device)}, cuDNN {cudnn}, TF32 {tf32}"
    flags = torch.backends.cpu.get_cpu_capability()
    return f"{device.type}, {flags}, {torch.get_num_threads()} threads"
