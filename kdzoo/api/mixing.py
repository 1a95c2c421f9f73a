"""Mixup and CutMix, for components that need unmixed images."""

from __future__ import annotations

from kdzoo.api.run import Run
from kdzoo.errors import KdzooError


def refuse_mixing(run: Run, who: str, *, instead: str = "") -> None:
    """Refuse a recipe with mixup or CutMix, for a component that reads class ids or remembers single images.

    Args:
        run: the run with the recipe.
        who: the component and its reason, such as ``"scheme 'own-past' remembers predictions by image"``.
        instead: an alternative for the user, such as ``"take scheme.ensemble=mean"``.

    Raises:
        KdzooError: mixup or CutMix is on.

    """
    augment = run.recipe.data.augment
    if augment is not None and (augment.mixup or augment.cutmix):
        raise KdzooError(
            f"{who}, and mixup or cutmix blends two images and their labels: set data.augment.mixup and "
            f"data.augment.cutmix to 0{', or ' if instead else ''}{instead}"
        )
