"""Losses of robust distillation: the student's predictions for attacked images match the teacher's for clean ones."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from kdzoo.api import UNLABELLED, at_least_float32, softened_kl


def ard_loss(
    attacked: Tensor,
    clean: Tensor,
    teacher: Tensor,
    target: Tensor,
    *,
    alpha: float = 1.0,
    temperature: float = 30.0,
) -> Tensor:
    """(1 - alpha) CE(student(x), y) + alpha T² KL(teacher(x) || student(x')) (Goldblum et al. 2020, equation 3).

    Args:
        attacked: (B, K), the student's logits for the attacked images x'.
        clean: (B, K), its logits for the clean images x.
        teacher: (B, K), the teacher's logits for the clean images x.
        target: (B,) class ids; samples with :data:`kdzoo.api.UNLABELLED` have no first term.
        alpha: in [0, 1].
        temperature: > 0; divides the logits of the second term.

    Returns:
        A scalar; each term is a mean over its samples.

    Raises:
        ValueError: shapes that differ.

    """
    label = functional.cross_entropy(
        at_least_float32(clean), target, ignore_index=UNLABELLED, reduction="sum"
    )
    label = label / (target != UNLABELLED).sum().clamp(min=1)
    return (1 - alpha) * label + alpha * softened_kl(attacked, teacher, temperature, reduction="mean")


def rslad_loss(attacked: Tensor, clean: Tensor, teacher: Tensor, *, alpha: float = 5 / 6) -> Tensor:
    """(1 - alpha) KL(teacher(x) || student(x)) + alpha KL(teacher(x) || student(x')) (Zi et al. 2021, equation 4).

    Args:
        attacked: (B, K), the student's logits for the attacked images x'.
        clean: (B, K), its logits for the clean images x.
        teacher: (B, K), the teacher's logits for the clean images x.
        alpha: in [0, 1].

    Returns:
        A scalar: the mean over the samples.

    Raises:
        ValueError: shapes that differ.

    """
    near, far = (softened_kl(one, teacher, reduction="mean") for one in (clean, attacked))
    return (1 - alpha) * near + alpha * far


def label_ascent(logits: Tensor, target: Tensor) -> Tensor:
    """The objective of an attack on the label: cross-entropy, summed over the samples.

    Args:
        logits: (B, K).
        target: (B,) class ids or (B, K) probabilities.

    """
    return functional.cross_entropy(at_least_float32(logits), target, reduction="sum")


def teacher_ascent(logits: Tensor, teacher: Tensor) -> Tensor:
    """The objective of an attack on the teacher's prediction: KL(teacher || student), summed over the samples.

    Args:
        logits: (B, K) the student's, for the attacked images.
        teacher: (B, K) the teacher's, for the clean ones.

    """
    return softened_kl(logits, teacher).sum()
