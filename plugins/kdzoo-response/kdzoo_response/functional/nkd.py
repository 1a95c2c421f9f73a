"""Normalised logits: the target class and the ranking of the others."""

from __future__ import annotations

from torch import Tensor

from kdzoo.api import Reduction, reduce
from kdzoo_response.functional.logits import cross_entropy, other_classes, pair, standardized, target_class


def nkd_loss(
    student: Tensor,
    teacher: Tensor,
    target: Tensor | None,
    *,
    gamma: float = 1.5,
    temperature: float = 1.0,
    standardize: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """-p_t log p_s at the target, and γ · T² · cross-entropy over the other classes; Yang et al. 2023, section 3.

    The first part is not softened. The other classes' probabilities are normalised to sum to one on both sides,
    so that the second part compares two distributions.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        target: as for :func:`dkd_loss`; without a label, it is the teacher's most likely class.
        gamma: weight of the second part, ≥ 0.
        temperature: T > 0, of the second part.
        standardize: standardise each row of logits to mean 0 and standard deviation 1 in the second part.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the shapes do not fit, or the reduction is unknown.
    """
    student, teacher = pair(student, teacher)
    true = target_class(teacher, target)
    at = true.unsqueeze(1)
    likely = teacher.softmax(dim=1).gather(1, at) * student.log_softmax(dim=1).gather(1, at)
    if standardize:
        student, teacher = standardized(student), standardized(teacher)
    others = other_classes(true, student.shape[1])
    rest = cross_entropy(student.gather(1, others) / temperature, teacher.gather(1, others) / temperature)
    return reduce(gamma * temperature**2 * rest - likely.squeeze(1), reduction)
