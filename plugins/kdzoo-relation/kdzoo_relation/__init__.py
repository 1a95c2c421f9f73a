"""Relation-based knowledge: losses between relations of samples, channels or stages, not between outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Knowledge


@hookimpl
def kdzoo_knowledge() -> list[type[Knowledge]]:
    """Relations between samples, between channels and between stages."""
    from kdzoo_relation.cc import CC
    from kdzoo_relation.crd import CRD
    from kdzoo_relation.fsp import FSP
    from kdzoo_relation.ickd import ICKD
    from kdzoo_relation.pkt import PKT
    from kdzoo_relation.rkd import RKD
    from kdzoo_relation.sp import SP

    return [RKD, SP, CC, PKT, FSP, ICKD, CRD]
