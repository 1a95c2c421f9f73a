"""Mixup and CutMix, where a component needs images that are one of their class."""

from __future__ import annotations

from kdzoo.api.run import Run
from kdzoo.errors import KdzooError


def refuse_mixing(run: Run, who: str, *, instead: str = "") -> None:
    """Refuse a recipe with mixup or CutMix, for a component that reads class ids or remembers single images.

    Args:
        run: whose recipe is asked.
        who: what needs images as they are, such as ``"scheme 'own-past' remembers each image's last answer"``.
        instead: what else the user may do, such as ``"take scheme.ensemble=mean"``.

    Raises:
        KdzooError: one of the two is on.

    """
    augment = run.recipe.data.augment
    if augment is not None and (augment.mixup or augment.cutmix):
        raise KdzooError(
            f"{who}, and mixup or cutmix blends two images and their labels: set data.augment.mixup and "
            f"data.augment.cutmix to 0{', or ' if instead else ''}{instead}"
        )
