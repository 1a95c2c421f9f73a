"""Losses of a discriminator and of its opponent. Computed in at least float32."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from kdzoo.api import at_least_float32

SCALE = 10.0
"""Probabilities are multiplied by this for a discriminator: between 0 and 1 the differences would be too small."""


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy of real and fake, each with weight 1/2: Goodfellow et al. 2014, equation 1.

    Args:
        real: (...) scores before the sigmoid of real inputs, such as the teacher's.
        fake: (...) scores of fake inputs.

    Returns:
        A scalar; log 2 where all scores are 0.

    """
    return (
        functional.softplus(-at_least_float32(real)).mean()
        + functional.softplus(at_least_float32(fake)).mean()
    ) / 2


def fooling_loss(fake: Tensor) -> Tensor:
    """Non-saturating generator loss: binary cross-entropy of being classified as real (section 3 there).

    Args:
        fake: (...) scores before the sigmoid.

    Returns:
        A scalar; log 2 where all scores are 0.

    """
    return functional.softplus(-at_least_float32(fake)).mean()


def told_apart(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's accuracy on both sides; 0.5 is chance."""
    return ((real > 0).float().mean() + (fake <= 0).float().mean()) / 2


def shown_logits(logits: Tensor, temperature: float = 4.0) -> Tensor:
    """Class probabilities as a discriminator's input: softened, scaled, with mean 0 over the classes.

    Args:
        logits: (B, K).
        temperature: > 0; divides them.

    Returns:
        (B, K), between -10/K and 10.

    """
    return SCALE * (at_least_float32(logits) / temperature).softmax(dim=1) - SCALE / logits.shape[1]


def class_condition(target: Tensor, classes: int) -> Tensor:
    """The condition of a discriminator: one-hot classes times 3.

    Args:
        target: (B,) int64 class ids, with zero rows for negative ones (no label); or (B, K) probabilities.
        classes: K.

    Returns:
        (B, K) in float32.

    """
    if target.is_floating_point():
        return 3 * target.float()
    known = functional.one_hot(target.clamp(min=0), classes) * (target >= 0)[:, None]
    return 3 * known.float()


def normalised_rows(rows: Tensor) -> Tensor:
    """Each row with mean 0 and variance 1, so that a discriminator cannot use the scale.

    Args:
        rows: (..., D).

    """
    rows = at_least_float32(rows)
    return functional.layer_norm(rows, rows.shape[-1:])


def l1_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean absolute difference of logits: Xu, Hsu and Huang 2018's instance-level term.

    Args:
        student: (B, K).
        teacher: (B, K).

    Returns:
        (B,).

    """
    if student.shape != teacher.shape:
        raise ValueError(f"logits must have one shape, not {tuple(student.shape)} and {tuple(teacher.shape)}")
    return (at_least_float32(student) - at_least_float32(teacher)).abs().mean(dim=1)
