"""Response-based knowledge: losses between the logits of a student and a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Knowledge, Scheme


@hookimpl
def kdzoo_knowledge() -> list[type[Knowledge]]:
    """Every loss on logits."""
    from kdzoo_response.ctkd import CTKD
    from kdzoo_response.dist import DIST
    from kdzoo_response.dkd import DKD
    from kdzoo_response.hard import Hard
    from kdzoo_response.kd import KD
    from kdzoo_response.mlkd import MLKD
    from kdzoo_response.nkd import NKD
    from kdzoo_response.ofa import OFA
    from kdzoo_response.wsld import WSLD

    return [KD, DKD, NKD, WSLD, DIST, CTKD, MLKD, OFA, Hard]


@hookimpl
def kdzoo_schemes() -> list[type[Scheme]]:
    """Targets from experts."""
    from kdzoo_response.experts import Experts

    return [Experts]
