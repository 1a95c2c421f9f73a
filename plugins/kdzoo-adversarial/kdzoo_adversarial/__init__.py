"""Adversarial distillation: a generator against the networks, a discriminator against the student, attacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Algorithm, Knowledge


@hookimpl
def kdzoo_knowledge() -> list[type[Knowledge]]:
    """Logits as they are."""
    from kdzoo_adversarial.logit_l1 import LogitL1

    return [LogitL1]


@hookimpl
def kdzoo_algorithms() -> list[type[Algorithm]]:
    """Distillation in which somebody learns against the student, or attacks it."""
    from kdzoo_adversarial.feature_gan import FeatureGan
    from kdzoo_adversarial.gan_supplement import GanSupplement
    from kdzoo_adversarial.robust_training import RobustTraining

    return [GanSupplement, FeatureGan, RobustTraining]
