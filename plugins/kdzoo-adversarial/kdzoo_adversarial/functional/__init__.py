"""Adversarial losses as pure functions of logits and maps.

They take any floating dtype and compute in float32 at least. B is the number of samples, K that of classes.
"""

from kdzoo_adversarial.functional.attack import pgd, start_at
from kdzoo_adversarial.functional.robust import ard_loss, label_ascent, rslad_loss, teacher_ascent

__all__ = ["ard_loss", "label_ascent", "pgd", "rslad_loss", "start_at", "teacher_ascent"]
