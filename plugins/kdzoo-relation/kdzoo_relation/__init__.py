"""Relation-based knowledge: losses between the relations of samples, not the samples' own outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Knowledge


@hookimpl
def kdzoo_knowledge() -> list[type[Knowledge]]:
    """Distances and angles between embeddings."""
    from kdzoo_relation.rkd import RKD

    return [RKD]
