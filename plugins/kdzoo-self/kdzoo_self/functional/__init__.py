"""The losses of self-distillation as pure functions; one module for each method.

They take any floating dtype and compute in at least float32, under autocast too.
"""

from kdzoo_self.functional.byot import byot_loss, first_confident, squared_distance
from kdzoo_self.functional.cs_kd import draw_same_class
from kdzoo_self.functional.ema import follow, probability_mse
from kdzoo_self.functional.tf_kd import virtual_logits

__all__ = [
    "byot_loss",
    "draw_same_class",
    "first_confident",
    "follow",
    "probability_mse",
    "squared_distance",
    "virtual_logits",
]
