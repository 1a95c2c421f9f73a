"""The losses of data-free distillation as pure functions; they compute in at least float32."""

from kdzoo_data_free.functional.inversion import competition_loss, total_variation
from kdzoo_data_free.functional.meta import moving, pull, reptile_gradients
from kdzoo_data_free.functional.realism import (
    activation_loss,
    adversarial_loss,
    attention_gap,
    balance_loss,
    one_hot_loss,
)
from kdzoo_data_free.functional.statistics import channel_moments, statistics_loss

__all__ = [
    "activation_loss",
    "adversarial_loss",
    "attention_gap",
    "balance_loss",
    "channel_moments",
    "competition_loss",
    "moving",
    "one_hot_loss",
    "pull",
    "reptile_gradients",
    "statistics_loss",
    "total_variation",
]
