"""The package's losses and transforms as pure functions, independent of the rest of kdzoo.

A student comes before its teacher. Every loss takes ``reduction="none"`` for one loss per sample where it has one.
"""

from __future__ import annotations

from kdzoo_foundation.functional.dropping import kept_teachers
from kdzoo_foundation.functional.features import feature_loss, patch_similarity_loss, resized
from kdzoo_foundation.functional.masked import masked_loss, random_patches
from kdzoo_foundation.functional.phi_s import hadamard, levelling, phi_s
from kdzoo_foundation.functional.queue import queue_loss
from kdzoo_foundation.functional.srd import log_sum_loss
from kdzoo_foundation.functional.vkd import normalised_loss

__all__ = [
    "feature_loss",
    "hadamard",
    "kept_teachers",
    "levelling",
    "log_sum_loss",
    "masked_loss",
    "normalised_loss",
    "patch_similarity_loss",
    "phi_s",
    "queue_loss",
    "random_patches",
    "resized",
]
