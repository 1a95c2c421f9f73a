"""Classes of very different size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kdzoo.data.listing import Targets

_STRONG = 10
"""So many times more images in the largest class than in the smallest are worth a warning."""


def imbalance(targets: Targets, classes: Sequence[str]) -> list[str]:
    """A warning if the largest class has more than ten times as many images as the smallest that has any."""
    counts = np.bincount(targets[targets >= 0], minlength=len(classes))
    present = np.flatnonzero(counts)
    if not len(present):
        return []
    most, least = present[counts[present].argmax()], present[counts[present].argmin()]
    if counts[most] <= _STRONG * counts[least]:
        return []
    return [
        f"train is unbalanced: {counts[most]} images of {classes[most]}, {counts[least]} of {classes[least]} "
        f"({counts[most] / counts[least]:.0f} times); --class-weights balanced or --sampling balanced may help"
    ]
