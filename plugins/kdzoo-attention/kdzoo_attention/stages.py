"""The type of a hyper-parameter that names stages, and a check of their maps."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from torch import Tensor

from kdzoo.api import KdzooError, Taps

Stages = Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(lambda stages: Taps(stages).student)]
"""Stages counted from the deepest, -1, ordered from shallow to deep."""


def require_places(name: str, maps: tuple[Tensor, ...]) -> None:
    """Refuse maps that are all a single pixel: they have no spatial attention.

    Args:
        name: the knowledge's.
        maps: the teacher's, (B, C, H, W).

    Raises:
        KdzooError: none of the maps has two pixels or more.

    """
    if all(one.shape[-2:].numel() == 1 for one in maps):
        raise KdzooError(
            f"knowledge {name!r} compares where networks are active, and every map of the teacher that it was given "
            "is a single pixel: take shallower stages, such as knowledge.teacher_stages=[-4,-3], or larger images"
        )
