"""How the images of a set are prepared: as the configuration says, else as is usual for such images."""

from __future__ import annotations

from dataclasses import replace

from kdzoo.data.array_listing import ArrayListing
from kdzoo.data.decode import sniff_side
from kdzoo.data.defaults import default_augment, with_defaults
from kdzoo.data.form import Canvas, Evaluated, Form, Square
from kdzoo.data.listing import Source
from kdzoo.data.source import data_name
from kdzoo.errors import KdzooError
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.evaluation import WHOLE, Evaluation


def own_side(config: DataConfig, source: Source) -> int | None:
    """The side of images that are all alike; None for photographs."""
    if isinstance(source.train, ArrayListing):
        return int(source.train.images.shape[1])
    listings = (None if config.withhold_train else source.train, source.val, source.test)
    return sniff_side([listing for listing in listings if listing is not None])


def augment_of(config: DataConfig, source: Source, img_size: int, photographs: bool) -> AugmentConfig:
    """How training images are varied.

    Raises:
        KdzooError: the padding is larger than the images.
    """
    default = default_augment(data_name(config), img_size, source.mirror, photographs)
    augment = with_defaults(config.augment, default)
    if augment.crop > img_size:
        raise KdzooError(
            f"data.augment.crop {augment.crop}: at most the side of the images, {img_size} pixels"
        )
    return augment


def evaluation_of(
    config: DataConfig, source: Source, usual: Evaluation, photographs: bool
) -> Evaluation | None:
    """How images are prepared for evaluation; None for tiny ones, which are taken as they are."""
    given = {"crop_pct": config.crop_pct, "interpolation": config.interpolation}
    given = {name: value for name, value in given.items() if value is not None}
    if given and isinstance(source.train, ArrayListing):
        raise KdzooError(
            f"data.{' and data.'.join(given)}: the images of {data_name(config)!r} come decoded, and are taken as "
            "they are"
        )
    if not (photographs or given):
        return None
    return replace(usual if photographs else WHOLE, **given)  # type: ignore[arg-type]  # as the configuration checks


def forms_of(
    config: DataConfig, img_size: int, canvas: bool, evaluation: Evaluation | None
) -> dict[str, Form]:
    """The form in which each split is kept."""
    square = Square(img_size)
    held_out = square if evaluation is None else Evaluated(img_size, evaluation)
    train = Canvas(round(config.canvas * img_size)) if canvas else square
    return {"train": train, "val": held_out, "test": held_out}
