"""The divergence that most methods on class probabilities share."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from kdzoo.api.options import Reduction, reduce
from kdzoo.api.precision import at_least_float32


def softened_kl(
    student: Tensor,
    teacher: Tensor,
    temperature: float = 1.0,
    *,
    squared: bool = True,
    reduction: Reduction = "none",
) -> Tensor:
    """KL(teacher || student) between softmaxes at a temperature, summed over the classes.

    Computed in float32 at least. Neither side is detached.

    Args:
        student: (B, K) logits.
        teacher: (B, K) logits.
        temperature: > 0.
        squared: times temperature², so that the gradient keeps its size when the temperature changes
            (Hinton et al. 2015, section 2.1).
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: shapes that differ, or an unknown reduction.
    """
    if student.shape != teacher.shape or student.ndim != 2:
        raise ValueError(
            f"logits must be (B, K) on both sides, not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    student, teacher = (
        functional.log_softmax(at_least_float32(one) / temperature, dim=1) for one in (student, teacher)
    )
    loss = functional.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)
    if squared:
        loss = loss * temperature**2
    return reduce(loss, reduction)
