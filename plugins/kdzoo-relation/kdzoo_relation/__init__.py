"""Relation-based knowledge: losses between relations of samples, channels or stages, not between outputs."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """Relations between samples, between channels and between stages."""
    return {
        "rkd": "kdzoo_relation.rkd:RKD",
        "sp": "kdzoo_relation.sp:SP",
        "cc": "kdzoo_relation.cc:CC",
        "pkt": "kdzoo_relation.pkt:PKT",
        "fsp": "kdzoo_relation.fsp:FSP",
        "ickd": "kdzoo_relation.ickd:ICKD",
        "crd": "kdzoo_relation.crd:CRD",
    }
