"""Feature-based losses as pure functions of feature maps, student before teacher; one module for each method.

They take any floating dtype and compute in at least float32. Neither side is detached: run the teacher under
``torch.no_grad`` unless it should receive gradients.
"""

from kdzoo_feature.functional.ab import boundary_loss
from kdzoo_feature.functional.fitnet import hint_loss
from kdzoo_feature.functional.ft import factor_loss
from kdzoo_feature.functional.mgd import generation_loss, random_mask
from kdzoo_feature.functional.nst import nst_loss
from kdzoo_feature.functional.ofd import batch_norm_margin, ofd_loss
from kdzoo_feature.functional.reviewkd import hcl_loss
from kdzoo_feature.functional.srrl import regression_loss
from kdzoo_feature.functional.vid import vid_loss

__all__ = [
    "batch_norm_margin",
    "boundary_loss",
    "factor_loss",
    "generation_loss",
    "hcl_loss",
    "hint_loss",
    "nst_loss",
    "ofd_loss",
    "random_mask",
    "regression_loss",
    "vid_loss",
]
