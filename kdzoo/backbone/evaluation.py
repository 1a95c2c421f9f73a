"""How a model's images are prepared for evaluation, by its ``pretrained_cfg`` in timm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from timm.data import resolve_data_config
from timm.models import get_pretrained_cfg, load_model_config_from_hf, parse_model_name

from kdzoo.backbone.registered import architecture, make_known
from kdzoo.recipe.evaluation import Evaluation
from kdzoo.zoo import Zoo

_MODES = "center", "squash", "border"


def evaluation_of(model: str, zoo: Zoo | None = None) -> Evaluation:
    """What timm's ``resolve_data_config`` says of a model; timm's defaults where nothing is known of it.

    Args:
        model: what a role's ``model`` may be.
        zoo: whose plugins may have it; default: those that are installed.
    """
    found = resolve_data_config({}, pretrained_cfg=_pretrained(model, zoo) or {"crop_pct": None})
    mode = found["crop_mode"] if found["crop_mode"] in _MODES else "center"  # as timm does
    evaluation = Evaluation(found["crop_pct"], found["interpolation"], mode)
    return replace(evaluation, mean=tuple(found["mean"])) if mode == "border" else evaluation


def _pretrained(model: str, zoo: Zoo | None) -> Mapping[str, Any]:
    with suppress(Exception):  # a folder or a hub that cannot be read is refused where the model is built
        source, rest = parse_model_name(model)
        if source == "local-dir":
            described = json.loads((Path(rest).expanduser() / "config.json").read_text(encoding="utf-8"))
            return dict(described.get("pretrained_cfg", described))
        if source == "hf-hub":
            return dict(load_model_config_from_hf(rest)[0])
        make_known(architecture(model), zoo)
        known = get_pretrained_cfg(model)
        return {} if known is None else known.to_dict()
    return {}
