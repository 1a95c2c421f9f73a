"""Losses, herding and figures of lifelong learning as pure functions of tensors."""

from kdzoo_lifelong.functional.figures import (
    average_incremental,
    backward_transfer,
    forgetting,
    seen_accuracy,
)
from kdzoo_lifelong.functional.herding import class_mean, herd
from kdzoo_lifelong.functional.old_classes import lwf_loss, sigmoid_distillation
from kdzoo_lifelong.functional.pod import pod_flat_loss, pod_spatial_loss
from kdzoo_lifelong.functional.similarity import local_similarity, nca_loss

__all__ = [
    "average_incremental",
    "backward_transfer",
    "class_mean",
    "forgetting",
    "herd",
    "local_similarity",
    "lwf_loss",
    "nca_loss",
    "pod_flat_loss",
    "pod_spatial_loss",
    "seen_accuracy",
    "sigmoid_distillation",
]
