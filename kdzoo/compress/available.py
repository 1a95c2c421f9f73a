"""Whether timm's pretrained weights of a model can be had, without downloading any."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache

_FILES = "model.safetensors", "pytorch_model.bin"
_SECONDS = 2.0


def obtainable(model: str) -> bool:
    """Whether they are in a cache of this machine, or the hub answers.

    With ``HF_HUB_OFFLINE`` set, nobody is asked.

    Args:
        model: as timm calls it, perhaps with a tag.
    """
    known = timm.get_pretrained_cfg(model) if ":" not in model else None
    if known is None or not known.has_weights:
        return False
    if known.hf_hub_id:
        return any(
            isinstance(try_to_load_from_cache(known.hf_hub_id, name), str) for name in _FILES
        ) or _answers(constants.ENDPOINT)
    url = str(known.url or "")
    return bool(url) and (
        (Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name).is_file() or _answers(url)
    )


@cache
def _answers(url: str) -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() not in ("", "0", "false", "no", "off"):
        return False
    try:
        with socket.create_connection((urlsplit(url).hostname or "", 443), timeout=_SECONDS):
            return True
    except OSError:
        return False
