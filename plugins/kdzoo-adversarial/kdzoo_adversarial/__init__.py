"""Adversarial distillation: a generator against the networks, a discriminator against the student, attacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Algorithm


@hookimpl
def kdzoo_algorithms() -> list[type[Algorithm]]:
    """Distillation in which somebody learns against the student, or attacks it."""
    from kdzoo_adversarial.robust_training import RobustTraining

    return [RobustTraining]
