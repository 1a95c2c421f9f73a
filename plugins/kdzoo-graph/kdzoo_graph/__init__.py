"""Graph-based knowledge: samples, stages or nodes are vertices, and their relations are edges."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """Graphs of the samples of a batch; lsp, for graph networks, is a pure function only."""
    return {
        "hkd": "kdzoo_graph.hkd:HKD",
        "irg": "kdzoo_graph.irg:IRG",
        "mhgd": "kdzoo_graph.mhgd:MHGD",
    }
