"""The augmentation of recipes that name none."""

from __future__ import annotations

from kdzoo.recipe.augment import AugmentConfig

SCALE = 0.35, 1.0
"""Of a random resized crop: half the usual lower bound for a run of few epochs, in which 0.08 hides too much."""

COLOR = 0.2
"""Half the strength that timm's training script has."""


def default_augment(
    dataset: str, img_size: int, mirror: bool = True, photographs: bool = False
) -> AugmentConfig:
    """Digits: small shifts, for a mirrored digit is another sign. Tiny images: shifts by an eighth, and flips.

    Photographs: random resized crops (timm's ratio), flips and mild colour jitter. Without ``mirror`` no flips: a
    plugin's data set says so.
    """
    if dataset == "digits":
        return AugmentConfig(crop=max(1, img_size // 16))
    hflip = 0.5 if mirror else 0.0
    if photographs:
        return AugmentConfig(scale=SCALE, hflip=hflip, color=COLOR)
    return AugmentConfig(crop=img_size // 8, hflip=hflip)


def with_defaults(given: AugmentConfig | None, default: AugmentConfig) -> AugmentConfig:
    """What is given, and the default for every other key. Without any key it is a section that varies nothing."""
    if given is None or not given.model_fields_set:
        return default if given is None else given
    set_here = {name: getattr(given, name) for name in given.model_fields_set}
    # a random resized crop and a shift take each other's place
    instead: dict[str, object] = {} if given.scale is None else {"crop": 0}
    if given.crop:
        instead = {"scale": None}
    return default.model_copy(update={**instead, **set_here})
