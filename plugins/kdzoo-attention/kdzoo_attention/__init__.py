"""Attention-based knowledge: losses between where a student and a teacher look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Knowledge


@hookimpl
def kdzoo_knowledge() -> list[type[Knowledge]]:
    """Maps of activity, of classes and of self-attention; links between all pairs of stages."""
    from kdzoo_attention.afd import AFD
    from kdzoo_attention.at import AT
    from kdzoo_attention.catkd import CATKD
    from kdzoo_attention.semckd import SemCKD
    from kdzoo_attention.vit_attention import ViTAttention

    return [AT, AFD, SemCKD, CATKD, ViTAttention]
