"""Online schemes: networks that learn together, without a teacher that was trained before."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_schemes() -> dict[str, str]:
    """Peers that teach each other, themselves through an ensemble, branches of one trunk, or a leader."""
    return {
        "mutual": "kdzoo_online.mutual:Mutual",
        "collaborative": "kdzoo_online.collaborative:Collaborative",
        "branches": "kdzoo_online.branches:Branches",
        "group-leader": "kdzoo_online.group_leader:GroupLeader",
    }


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Distillation in which what computes a teacher learns too."""
    return {
        "distill-both": "kdzoo_online.distill_both:DistillBoth",
    }
