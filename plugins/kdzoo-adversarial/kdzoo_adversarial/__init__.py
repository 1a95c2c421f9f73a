"""Adversarial distillation: generators, discriminators, and robustness to attacks."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """A loss on raw logits."""
    return {
        "logit-l1": "kdzoo_adversarial.logit_l1:LogitL1",
    }


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Training with a generator, with discriminators, or on attacked images."""
    return {
        "gan-supplement": "kdzoo_adversarial.gan_supplement:GanSupplement",
        "feature-gan": "kdzoo_adversarial.feature_gan:FeatureGan",
        "robust-training": "kdzoo_adversarial.robust_training:RobustTraining",
    }
