"""The loss of activation boundaries."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from kdzoo.api import Reduction, reduce
from kdzoo_feature.functional.maps import matched


def boundary_loss(
    student: Tensor, teacher: Tensor, *, margin: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    """Squared hinge loss between the student's pre-activations and the teacher's activation states.

    Heo et al. 2019, equation 4: where the teacher is above zero, the student is penalised below ``margin``,
    elsewhere above ``-margin``; squared, and summed over the map. Where the maps differ in height or width,
    the larger is average-pooled to the smaller. Only the teacher's sign is used, so it gets no gradient.

    Args:
        student: (B, C, H, W) before the activation, mapped to the teacher's channels by a connector.
        teacher: (B, C, H', W'), before the activation or after one that keeps the sign.
        margin: > 0.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: batch or channels differ, or the reduction is unknown.
    """
    student, teacher = matched(student, teacher)
    active = (teacher > 0).to(student.dtype)
    lacking, exceeding = functional.relu(margin - student), functional.relu(margin + student)
    loss = (active * lacking + (1 - active) * exceeding).square().sum(dim=(1, 2, 3))
    return reduce(loss, reduction)
