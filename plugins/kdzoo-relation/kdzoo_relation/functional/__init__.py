"""Relation-based losses as pure functions, student before teacher; one module for each method.

They take any floating dtype and compute in at least float32, under autocast too. Neither side is detached:
run the teacher under ``torch.no_grad`` unless it should receive gradients. Losses on relations between
samples (``rkd``, ``sp``, ``cc``, ``pkt``, ``crd``) accept networks of any widths; ``fsp`` and ``ickd`` relate
the channels of one sample, so they need the same number of channels on both sides.
"""

from kdzoo_relation.functional.cc import cc_loss
from kdzoo_relation.functional.crd import info_nce_loss, nce_loss
from kdzoo_relation.functional.fsp import fsp_loss, fsp_matrix
from kdzoo_relation.functional.ickd import channel_correlations, ickd_loss
from kdzoo_relation.functional.pkt import pkt_loss
from kdzoo_relation.functional.rkd import rkd_angle_loss, rkd_distance_loss, rkd_loss
from kdzoo_relation.functional.sp import sp_loss

__all__ = [
    "cc_loss",
    "channel_correlations",
    "fsp_loss",
    "fsp_matrix",
    "ickd_loss",
    "info_nce_loss",
    "nce_loss",
    "pkt_loss",
    "rkd_angle_loss",
    "rkd_distance_loss",
    "rkd_loss",
    "sp_loss",
]
