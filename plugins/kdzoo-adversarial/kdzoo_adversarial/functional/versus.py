"""The game between a discriminator and whoever wants to be taken for the real one. In float32 at least."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from kdzoo.api import at_least_float32

SCALE = 10.0
"""Probabilities are shown to a discriminator times this: between 0 and 1 they would hardly differ for it."""


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy of telling the two apart, half from each side: Goodfellow et al. 2014, equation 1.

    Args:
        real: (...) scores before the sigmoid of what shall be called real, such as the teacher's.
        fake: (...) scores of the others.

    Returns:
        A scalar; log 2 where all scores are 0.

    """
    return (
        functional.softplus(-at_least_float32(real)).mean()
        + functional.softplus(at_least_float32(fake)).mean()
    ) / 2


def fooling_loss(fake: Tensor) -> Tensor:
    """Binary cross-entropy of being called real: the form that does not saturate (section 3 there).

    Args:
        fake: (...) scores before the sigmoid.

    Returns:
        A scalar; log 2 where all scores are 0.

    """
    return functional.softplus(-at_least_float32(fake)).mean()


def told_apart(real: Tensor, fake: Tensor) -> Tensor:
    """The share of both sides that is called what it is; 0.5 where the discriminator knows nothing."""
    return ((real > 0).float().mean() + (fake <= 0).float().mean()) / 2


def shown_logits(logits: Tensor, temperature: float = 4.0) -> Tensor:
    """Class probabilities as a discriminator reads them: softened, scaled, and 0 on average over the classes.

    Args:
        logits: (B, K).
        temperature: > 0; divides them.

    Returns:
        (B, K), between -10/K and 10.

    """
    return SCALE * (at_least_float32(logits) / temperature).softmax(dim=1) - SCALE / logits.shape[1]


def class_condition(target: Tensor, classes: int) -> Tensor:
    """The classes that a discriminator is told, one-hot times 3.

    Args:
        target: (B,) int64 class ids, zero rows where negative (a withheld label); or (B, K) probabilities.
        classes: K.

    Returns:
        (B, K) in float32.

    """
    if target.is_floating_point():
        return 3 * target.float()
    known = functional.one_hot(target.clamp(min=0), classes) * (target >= 0)[:, None]
    return 3 * known.float()


def normalised_rows(rows: Tensor) -> Tensor:
    """Each row with mean 0 and variance 1, so that a discriminator cannot go by size alone.

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
