"""Batches of synthetic images, and their figures."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kdzoo.api import Batch, KdzooError, Run

_EPOCHS = "data-free/epochs"


def synthetic(images: Tensor, progress: float = 0.0) -> Batch:
    """(B, C, H, W) images in [0, 1] as a batch without labels, with index -1."""
    return Batch(torch.full((len(images),), -1, device=images.device), {"image": images}, progress=progress)


def refuse_without_teaching(run: Run, algorithm: str) -> None:
    """Check that the student has a teacher and a knowledge: there is no other loss without real images.

    Raises:
        KdzooError: there is no student, no teacher, or no knowledge.

    """
    if not run.recipe.knowledge:
        raise KdzooError(
            f"algorithm {algorithm!r} has no labels, so the student can only learn from a knowledge, and the recipe "
            "has none: add one, such as --knowledge kd"
        )
    if "student" not in run.roles or "teacher" not in run.roles:
        raise KdzooError(
            f"algorithm {algorithm!r} makes its images from the trained network of the role 'teacher' for the role "
            f"'student', and scheme {run.recipe.scheme.name!r} has {', '.join(run.roles) or 'no role'}: name a "
            "teacher and take scheme 'offline'"
        )


def describe(run: Run, images: Tensor) -> Mapping[str, float]:
    """Figures of generated images for an epoch's metrics.

    Args:
        run: with a teacher and a student, both in eval mode.
        images: (B, C, H, W) in [0, 1].

    Returns:
        ``generated/confidence``, the teacher's mean highest probability; ``generated/classes``, the effective
        number of classes, the exponential of the entropy of the mean probabilities; ``generated/agreement``,
        the share of images for which student and teacher predict the same class, in percent.

    """
    batch = synthetic(images)
    teacher, student = (run.see(role, batch).logits.float() for role in ("teacher", "student"))
    probabilities = teacher.softmax(dim=1)
    return {
        "generated/confidence": float(probabilities.amax(dim=1).mean()),
        "generated/classes": float(torch.special.entr(probabilities.mean(dim=0)).sum().exp()),
        "generated/agreement": 100 * float((student.argmax(dim=1) == teacher.argmax(dim=1)).float().mean()),
    }


def show(run: Run, images: Tensor, every: int) -> None:
    """Save a grid of images after the first epoch, every ``every`` epochs, and after the last.

    Call it once per epoch.
    """
    epoch = run.state[_EPOCHS] = run.state.get(_EPOCHS, 0) + 1
    if epoch == 1 or epoch % every == 0 or epoch == run.recipe.epochs:
        run.picture("generated", images)
