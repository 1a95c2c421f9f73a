"""Online schemes: networks that are trained together, without a pretrained teacher."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_schemes() -> dict[str, str]:
    """Mutual learning of peers, ensembles of peers or branches, and a group leader."""
    return {
        "mutual": "kdzoo_online.mutual:Mutual",
        "collaborative": "kdzoo_online.collaborative:Collaborative",
        "branches": "kdzoo_online.branches:Branches",
        "group-leader": "kdzoo_online.group_leader:GroupLeader",
    }


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Distillation that also trains the modules behind a derived teacher."""
    return {
        "distill-both": "kdzoo_online.distill_both:DistillBoth",
    }
