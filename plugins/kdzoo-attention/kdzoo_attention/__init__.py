"""Attention-based knowledge: losses between where a student and a teacher look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Knowledge


@hookimpl
def kdzoo_knowledge() -> list[type[Knowledge]]:
    """Activation-based attention maps."""
    from kdzoo_attention.at import AT

    return [AT]
