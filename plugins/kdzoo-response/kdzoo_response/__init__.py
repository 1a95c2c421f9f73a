"""Response-based knowledge: losses between the logits of a student and a teacher."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """Every loss on logits."""
    return {
        "kd": "kdzoo_response.kd:KD",
        "dkd": "kdzoo_response.dkd:DKD",
        "nkd": "kdzoo_response.nkd:NKD",
        "wsld": "kdzoo_response.wsld:WSLD",
        "dist": "kdzoo_response.dist:DIST",
        "ctkd": "kdzoo_response.ctkd:CTKD",
        "mlkd": "kdzoo_response.mlkd:MLKD",
        "ofa": "kdzoo_response.ofa:OFA",
        "hard": "kdzoo_response.hard:Hard",
    }


@hookimpl
def kdzoo_schemes() -> dict[str, str]:
    """Soft labels in place of a teacher."""
    return {
        "experts": "kdzoo_response.experts:Experts",
    }


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """A second, strongly varied view of every image."""
    return {
        "two-views": "kdzoo_response.two_views:TwoViews",
    }
