"""Feature-based knowledge: losses between the feature maps of a student and a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Knowledge


@hookimpl
def kdzoo_knowledge() -> list[type[Knowledge]]:
    """Hints from a hidden layer."""
    from kdzoo_feature.fitnet import FitNet

    return [FitNet]
