"""Attention-based knowledge: losses between the attention maps of a student and a teacher."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """Losses on spatial attention, class activation maps and self-attention."""
    return {
        "at": "kdzoo_attention.at:AT",
        "afd": "kdzoo_attention.afd:AFD",
        "semckd": "kdzoo_attention.semckd:SemCKD",
        "catkd": "kdzoo_attention.catkd:CATKD",
        "vit-attention": "kdzoo_attention.vit_attention:ViTAttention",
    }
