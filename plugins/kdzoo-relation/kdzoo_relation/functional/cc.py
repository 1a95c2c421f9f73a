"""Correlations between samples: Peng et al. 2019."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

from kdzoo.api import at_least_float32, choice
from kdzoo_relation.functional.vectors import check_embeddings, cosines


def cc_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    gamma: float = 0.4,
    order: int = 2,
    form: Literal["paper", "code"] = "paper",
) -> Tensor:
    """Difference of two networks' correlations between samples; Peng et al. 2019, sections 3.3 and 3.4.

    - ``"paper"``: the mean over all B² pairs of the squared difference of the correlations, each a Gaussian
      kernel exp(-γ ‖x - y‖²) of unit vectors by its Taylor series up to ``order`` in their inner product.
    - ``"code"``: the code in circulation for the method: with Δ the absolute difference of two embeddings of
      the same width, the mean inner product of Δ_i and Δ_(i+1) over consecutive samples of the batch. It
      depends on the order of the batch.

    Args:
        student: (B, D) embeddings.
        teacher: (B, D') embeddings; D' = D for ``"code"``.
        gamma: γ > 0 of the kernel.
        order: ≥ 1, the last power of the series.
        form: see above.

    Returns:
        A scalar.

    Raises:
        ValueError: the inputs are not two matrices of one batch, or an option is unknown.
    """
    check_embeddings(student, teacher)
    choice("form", form, ("paper", "code"))
    if form == "paper":
        difference = _kernel(student, gamma, order) - _kernel(teacher, gamma, order)
        return difference.square().mean()
    if student.shape != teacher.shape:
        raise ValueError(
            f"form 'code' subtracts embeddings, so their widths must be the same, not {student.shape[1]} "
            f"and {teacher.shape[1]}"
        )
    delta = (at_least_float32(student) - at_least_float32(teacher)).abs()
    return (delta[:-1] * delta[1:]).sum() / max(len(delta) - 1, 1)


def _kernel(embedding: Tensor, gamma: float, order: int) -> Tensor:
    """(B, B)."""
    alike = cosines(embedding)
    series = sum((2 * gamma) ** power / math.factorial(power) * alike**power for power in range(order + 1))
    assert isinstance(series, Tensor)
    return math.exp(-2 * gamma) * series
