"""The augmentation of recipes that name none."""

from __future__ import annotations

from kdzoo.recipe.model import AugmentConfig


def default_augment(dataset: str, img_size: int, mirror: bool = True) -> AugmentConfig:
    """Digits: small shifts, for a mirrored digit is another sign. Photographs: shifts by an eighth, and flips.

    Without ``mirror`` no flips: a plugin's data set says so.
    """
    if dataset == "digits":
        return AugmentConfig(crop=max(1, img_size // 16))
    return AugmentConfig(crop=img_size // 8, hflip=0.5 if mirror else 0.0)


def with_defaults(given: AugmentConfig | None, default: AugmentConfig) -> AugmentConfig:
    """What is given, and the default for every other key. Without any key it is a section that varies nothing."""
    if given is None or not given.model_fields_set:
        return default if given is None else given
    set_here = {name: getattr(given, name) for name in given.model_fields_set}
    no_shift = (
        {} if given.scale is None else {"crop": 0}
    )  # a random resized crop takes the place of the shift
    return default.model_copy(update={**no_shift, **set_here})
