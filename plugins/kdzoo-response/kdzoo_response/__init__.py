"""Response-based knowledge: losses between the logits of a student and a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Knowledge


@hookimpl
def kdzoo_knowledge() -> list[type[Knowledge]]:
    """Softened and decoupled logits."""
    from kdzoo_response.dkd import DKD
    from kdzoo_response.kd import KD

    return [KD, DKD]
