"""Attention-based knowledge: losses between where a student and a teacher look."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """Maps of activity, of classes and of self-attention; links between all pairs of stages."""
    return {
        "at": "kdzoo_attention.at:AT",
        "afd": "kdzoo_attention.afd:AFD",
        "semckd": "kdzoo_attention.semckd:SemCKD",
        "catkd": "kdzoo_attention.catkd:CATKD",
        "vit-attention": "kdzoo_attention.vit_attention:ViTAttention",
    }
