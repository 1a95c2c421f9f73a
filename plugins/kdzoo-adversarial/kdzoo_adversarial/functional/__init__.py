"""Adversarial losses as pure functions of logits and maps.

They take any floating dtype and compute in at least float32. B is the number of samples, K of classes.
"""

from kdzoo_adversarial.functional.attack import pgd, start_at
from kdzoo_adversarial.functional.robust import ard_loss, label_ascent, rslad_loss, teacher_ascent
from kdzoo_adversarial.functional.supplement import (
    balance_loss,
    confidence_loss,
    disagreement,
    statistics_distance,
)
from kdzoo_adversarial.functional.versus import (
    class_condition,
    discriminator_loss,
    fooling_loss,
    l1_distance,
    normalised_rows,
    shown_logits,
    told_apart,
)

__all__ = [
    "ard_loss",
    "balance_loss",
    "class_condition",
    "confidence_loss",
    "disagreement",
    "discriminator_loss",
    "fooling_loss",
    "l1_distance",
    "label_ascent",
    "normalised_rows",
    "pgd",
    "rslad_loss",
    "shown_logits",
    "start_at",
    "statistics_distance",
    "teacher_ascent",
    "told_apart",
]
