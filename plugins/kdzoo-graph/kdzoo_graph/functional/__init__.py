"""Graph-based losses as pure functions of tensors, student before teacher.

They take any floating dtype and compute in at least float32, under autocast too. Neither side is detached:
run the teacher under ``torch.no_grad`` unless it should receive gradients.
"""

from kdzoo_graph.functional.hkd import aggregate, info_nce, neighbour_graph
from kdzoo_graph.functional.irg import (
    irg_edge_loss,
    irg_edge_transformation_loss,
    irg_edges,
    irg_transformation,
    irg_transformation_loss,
    irg_vertex_loss,
)
from kdzoo_graph.functional.lsp import local_structure, lsp_loss
from kdzoo_graph.functional.mhgd import graph_divergence, main_direction

__all__ = [
    "aggregate",
    "graph_divergence",
    "info_nce",
    "irg_edge_loss",
    "irg_edge_transformation_loss",
    "irg_edges",
    "irg_transformation",
    "irg_transformation_loss",
    "irg_vertex_loss",
    "local_structure",
    "lsp_loss",
    "main_direction",
    "neighbour_graph",
]
