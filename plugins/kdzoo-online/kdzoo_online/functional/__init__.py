"""Online losses and ensembles as pure functions of the logits of all peers.

They take any floating dtype and compute in at least float32. M is the number of peers, B of samples, K of
classes.
"""

from kdzoo_online.functional.collaborative import (
    best_peer,
    linear_logits,
    mean_logits,
    minimum_logits,
)
from kdzoo_online.functional.diverse import attention_weights, mix_probabilities
from kdzoo_online.functional.gated import gated_logits
from kdzoo_online.functional.mutual import mutual_losses

__all__ = [
    "attention_weights",
    "best_peer",
    "gated_logits",
    "linear_logits",
    "mean_logits",
    "minimum_logits",
    "mix_probabilities",
    "mutual_losses",
]
