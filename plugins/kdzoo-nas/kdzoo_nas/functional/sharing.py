"""Slicing a narrower network's parameter out of a wider one's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def cut(shared: Tensor, shape: Sequence[int]) -> Tensor:
    """The first channels and the centre of the kernel, as a view, so that gradients reach ``shared``.

    Args:
        shared: the largest network's parameter; of four dimensions it is (out, in, height, width).
        shape: the same number of dimensions, none larger.

    Returns:
        A view of ``shape``.

    Raises:
        ValueError: a shape that does not fit inside.

    """
    if len(shape) != shared.ndim or any(
        small > large for small, large in zip(shape, shared.shape, strict=True)
    ):
        raise ValueError(f"{tuple(shape)} cannot be cut out of {tuple(shared.shape)}")
    view = shared
    for dim, small in enumerate(shape):
        middle = (shared.shape[dim] - small) // 2 if dim >= 2 else 0
        view = view.narrow(dim, middle, small)
    return view
