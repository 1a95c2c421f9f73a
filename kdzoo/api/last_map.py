"""What a timm model's ``forward_features`` returns, as a map (B, C, h, w)."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from kdzoo.errors import KdzooError

_MAP, _TOKENS = 4, 3
"""Dimensions of (B, C, h, w) or (B, h, w, C), and of (B, tokens, C)."""


def as_map(model: Any, features: Any, size: tuple[int, int]) -> Tensor:
    """The final features of a timm ``model`` for images of ``size`` as (B, C, h, w).

    Tokens are the patches row by row, behind the model's prefix tokens (class, distillation, registers), which are
    left out.

    Raises:
        KdzooError: the features are no map, such as those of a model with several branches.
    """
    features = getattr(features, "last_map", features)  # of a wrapped network
    reduction = model.feature_info[-1]["reduction"] if getattr(model, "feature_info", None) else 0
    rows, columns = (math.ceil(side / reduction) if reduction else 0 for side in size)
    if isinstance(features, Tensor) and features.dim() == _MAP:
        last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        if not last and features.shape[2:] != (rows, columns) and features.shape[1:3] == (rows, columns):
            last = True  # a model that does not say so
        return features.permute(0, 3, 1, 2) if last else features
    if isinstance(features, Tensor) and features.dim() == _TOKENS:
        patches = features[:, getattr(model, "num_prefix_tokens", features.shape[1] - rows * columns) :]
        if rows and patches.shape[1] == rows * columns:
            grid: Tensor = patches.transpose(1, 2).reshape(len(patches), -1, rows, columns)
            return grid
    what = tuple(features.shape) if isinstance(features, Tensor) else f"a {type(features).__name__}"
    raise KdzooError(
        f"model {type(model).__name__} has no last map: its forward_features returns {what} for images of "
        f"{size[0]}x{size[1]} pixels; use its stages or its embedding"
    )
