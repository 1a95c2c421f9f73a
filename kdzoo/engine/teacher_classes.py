"""The classes of a network that is trained already, for data that have none."""

from __future__ import annotations

from kdzoo.backbone.origin import TIMM, origin_of
from kdzoo.recipe.roles import RoleConfig


def own_classes(config: RoleConfig) -> tuple[int, tuple[str, ...] | None]:
    """How many classes the weights of a role tell apart, and their names if these are known; 0 if nothing says it.

    The weights are those of an exported folder, of a file, or timm's.

    Raises:
        KdzooError: they cannot be read.

    """
    given = (
        config.weights
        or (config.checkpoint and str(config.checkpoint))
        or (config.pretrained and TIMM)
        or None
    )
    origin = origin_of(config.model_copy(update={"weights": given, "checkpoint": None, "pretrained": False}))
    return (0, None) if origin is None else (origin.num_classes, origin.label_names)
