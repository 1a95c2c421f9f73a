"""Response-based losses as pure functions of logits, student before teacher.

They take any floating dtype and compute in at least float32. Neither side is detached: run the teacher under
``torch.no_grad`` unless it should receive gradients.
"""

from kdzoo_response.functional.ctkd import ctkd_loss, reversed_gradient
from kdzoo_response.functional.dist import dist_loss
from kdzoo_response.functional.dkd import dkd_loss
from kdzoo_response.functional.hard import hard_loss
from kdzoo_response.functional.kd import kd_loss
from kdzoo_response.functional.logits import standardized
from kdzoo_response.functional.mlkd import mlkd_loss
from kdzoo_response.functional.nkd import nkd_loss
from kdzoo_response.functional.ofa import ofa_loss
from kdzoo_response.functional.wsld import wsld_loss, wsld_weight

__all__ = [
    "ctkd_loss",
    "dist_loss",
    "dkd_loss",
    "hard_loss",
    "kd_loss",
    "mlkd_loss",
    "nkd_loss",
    "ofa_loss",
    "reversed_gradient",
    "standardized",
    "wsld_loss",
    "wsld_weight",
]
