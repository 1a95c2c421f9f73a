"""Adversarial distillation: a generator against the networks, a discriminator against the student, attacks."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """Logits as they are."""
    return {
        "logit-l1": "kdzoo_adversarial.logit_l1:LogitL1",
    }


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Distillation in which somebody learns against the student, or attacks it."""
    return {
        "gan-supplement": "kdzoo_adversarial.gan_supplement:GanSupplement",
        "feature-gan": "kdzoo_adversarial.feature_gan:FeatureGan",
        "robust-training": "kdzoo_adversarial.robust_training:RobustTraining",
    }
