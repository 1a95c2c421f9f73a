"""Feature-based losses as pure functions of feature maps, student before teacher; one module for each method.

They take any floating dtype and compute in float32 at least. Neither side is detached: run the teacher under
``torch.no_grad`` where it should not learn.
"""

from kdzoo_feature.functional.fitnet import hint_loss

__all__ = ["hint_loss"]
