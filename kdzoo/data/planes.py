"""A batch a few pictures at a time, as contiguous planes: so that what is worked on stays in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_NUMBERS = 1 << 18  # one MiB of float32: below the second-level cache of today's processors


def some_at_once(images: Tensor) -> int:
    """How many images of ``images`` (B, C, H, W) to work on at a time."""
    return max(1, _NUMBERS // max(1, images[0].numel())) if images.device.type == "cpu" else len(images)


def change(images: Tensor, rows: Tensor, how: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Replace some images of a batch by what ``how`` makes of them.

    Args:
        images: (B, C, H, W), changed in place.
        rows: (b,) int64: which images.
        how: takes contiguous images (n, C, H, W), which it may change, and their places (n,) among ``rows``.

    """
    if not len(rows):
        return
    places = torch.arange(len(rows), device=rows.device)
    for some in torch.split(places, some_at_once(images)):
        part = images.index_select(0, rows[some]).contiguous(memory_format=torch.contiguous_format)
        images.index_copy_(0, rows[some], how(part, some))
