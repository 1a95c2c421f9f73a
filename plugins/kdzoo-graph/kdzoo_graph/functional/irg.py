"""Instance relationship graphs: Liu et al. 2019."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.api import Reduction, at_least_float32, reduce

TINY = 1e-12
"""Lower bound of the divisor of distances: if all samples are equal, the edges are 0, not NaN."""


def irg_vertex_loss(student: Tensor, teacher: Tensor, *, reduction: Reduction = "none") -> Tensor:
    """Mean squared difference of the vertices' logits; Liu et al. 2019, section 3.1.

    Args:
        student: (B, K).
        teacher: (B, K).
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: shapes that differ, or are not matrices.
    """
    if student.shape != teacher.shape or student.ndim != 2:
        raise ValueError(
            f"vertices must be (B, K) on both sides, not {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    loss = (at_least_float32(student) - at_least_float32(teacher)).square().mean(dim=1)
    return reduce(loss, reduction)


def irg_edges(vertices: Tensor) -> Tensor:
    """Squared distances between all samples, divided by the largest; Liu et al. 2019, section 3.1.

    Args:
        vertices: (B, D), one vector for each sample.

    Returns:
        (B, B) in [0, 1], with a zero diagonal. The gradient passes through the largest distance too.

    Raises:
        ValueError: not a matrix.
    """
    if vertices.ndim != 2:
        raise ValueError(f"vertices must be (B, D), not {tuple(vertices.shape)}")
    vertices = at_least_float32(vertices)
    # The exact form: the faster one, by a matrix product, suffers from cancellation for close points.
    squares = torch.cdist(vertices, vertices, compute_mode="donot_use_mm_for_euclid_dist").square()
    return squares / squares.amax().clamp_min(TINY)


def irg_edge_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the edges of two graphs over the same samples; Liu et al. 2019, section 3.3.

    Args:
        student: (B, D) vertices.
        teacher: (B, D') vertices.

    Returns:
        A scalar: the mean over all B² edges, including the zeros of the diagonal.

    Raises:
        ValueError: not two matrices with the same number of rows.
    """
    _same_samples(student, teacher)
    return (irg_edges(student) - irg_edges(teacher)).square().mean()


def irg_transformation(shallow: Tensor, deep: Tensor) -> Tensor:
    """How far each sample moves between two stages of one network; Liu et al. 2019, section 3.2.

    The squared distance of its two vertices, divided by the batch's largest. The paper defines it only
    between layers of equal width; here groups of adjacent channels of the wider stage are first averaged to
    the width of the narrower one.

    Args:
        shallow: (B, C) vertices of one stage.
        deep: (B, C') vertices of a deeper stage.

    Returns:
        (B,) in [0, 1].

    Raises:
        ValueError: not two matrices with the same number of rows.
    """
    _same_samples(shallow, deep)
    width = min(shallow.shape[1], deep.shape[1])
    shallow, deep = (
        one if one.shape[1] == width else functional.adaptive_avg_pool1d(one.unsqueeze(0), width).squeeze(0)
        for one in (at_least_float32(shallow), at_least_float32(deep))
    )
    moved = (deep - shallow).square().sum(dim=1)
    return moved / moved.amax().clamp_min(TINY)


def irg_transformation_loss(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    *,
    reduction: Reduction = "none",
) -> Tensor:
    """Squared difference of two networks' :func:`irg_transformation`; Liu et al. 2019, section 3.3.

    Args:
        student: vertices of a shallow and of a deep stage, (B, C) and (B, C').
        teacher: the same of the teacher; the widths may differ from the student's.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: not four matrices with the same number of rows.
    """
    _same_samples(student[0], teacher[0])
    loss = (irg_transformation(*student) - irg_transformation(*teacher)).square()
    return reduce(loss, reduction)


def irg_edge_transformation_loss(student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor]) -> Tensor:
    """Mean squared difference of two networks' changes of the edges between two stages.

    The second half of the paper's transformation (section 3.2): the edges of the deep stage minus those of
    the shallow one. All widths may differ.

    Args:
        student: vertices of a shallow and of a deep stage, (B, C) and (B, C').
        teacher: the same of the teacher.

    Returns:
        A scalar: the mean over all B² edges.

    Raises:
        ValueError: not four matrices with the same number of rows.
    """
    _same_samples(student[0], teacher[0])
    _same_samples(*student)
    _same_samples(*teacher)
    change_student = irg_edges(student[1]) - irg_edges(student[0])
    change_teacher = irg_edges(teacher[1]) - irg_edges(teacher[0])
    return (change_student - change_teacher).square().mean()


def _same_samples(one: Tensor, other: Tensor) -> None:
    if one.ndim != 2 or other.ndim != 2 or one.shape[0] != other.shape[0]:
        raise ValueError(
            "vertices must be matrices with one row for each sample of the same batch, "
            f"not {tuple(one.shape)} and {tuple(other.shape)}"
        )
