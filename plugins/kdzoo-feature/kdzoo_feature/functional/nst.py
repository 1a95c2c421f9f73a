"""The loss of neuron selectivity transfer."""

from __future__ import annotations

from torch import Tensor

from kdzoo.api import Reduction, reduce
from kdzoo_feature.functional.maps import matched, unit_length


def nst_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    degree: int = 2,
    offset: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Squared maximum mean discrepancy between the channels of two maps; Huang and Wang 2017, equation 4.

    Each channel of a sample is a vector of H · W activations, scaled to length 1; the channels of one sample
    are draws from a distribution of patterns. The kernel is (x·y + offset)^degree. The maps may have
    different numbers of channels. Where they differ in height or width, the larger is average-pooled to the
    smaller. A channel that is zero everywhere stays zero.

    Args:
        student: (B, C, H, W).
        teacher: (B, C', H', W').
        degree: >= 1; 1 is the paper's linear kernel, 2 its polynomial one.
        offset: >= 0.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the maps are not of the same samples, or the reduction is unknown.
    """
    student, teacher = (unit_length(one.flatten(2)) for one in matched(student, teacher, channels=False))

    def kernel(one: Tensor, other: Tensor) -> Tensor:
        return (one @ other.mT + offset).pow(degree).mean(dim=(1, 2))

    loss = kernel(teacher, teacher) + kernel(student, student) - 2 * kernel(student, teacher)
    return reduce(loss, reduction)
