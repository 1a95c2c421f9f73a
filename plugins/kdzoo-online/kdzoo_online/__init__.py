"""Online schemes: networks that learn together, without a teacher that was trained before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Algorithm, Scheme


@hookimpl
def kdzoo_schemes() -> list[type[Scheme]]:
    """Peers that teach each other, themselves through an ensemble, branches of one trunk, or a leader."""
    from kdzoo_online.branches import Branches
    from kdzoo_online.collaborative import Collaborative
    from kdzoo_online.group_leader import GroupLeader
    from kdzoo_online.mutual import Mutual

    return [Mutual, Collaborative, Branches, GroupLeader]


@hookimpl
def kdzoo_algorithms() -> list[type[Algorithm]]:
    """Distillation in which what computes a teacher learns too."""
    from kdzoo_online.distill_both import DistillBoth

    return [DistillBoth]
