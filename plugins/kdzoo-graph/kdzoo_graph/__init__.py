"""Graph-based knowledge: samples, stages or nodes are vertices, and their relations are edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Knowledge


@hookimpl
def kdzoo_knowledge() -> list[type[Knowledge]]:
    """Graphs of the samples of a batch; lsp, for graph networks, is a pure function only."""
    from kdzoo_graph.hkd import HKD
    from kdzoo_graph.irg import IRG
    from kdzoo_graph.mhgd import MHGD

    return [HKD, IRG, MHGD]
