"""Where the images of a batch come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

IMAGE = "image"
"""The usual modality."""


class Piece(NamedTuple):
    """Images for one batch.

    Attributes:
        store: (N, H, W, C) uint8 on the device.
        at: (B,) int64 on the device: where in the store the images lie.
        chosen: (B,) int64 on the device: the samples' positions in their split.
        sizes: (B, 2) int64 on the device: true widths and heights of pictures that are squashed to squares.
        cropped: whether the images are already cropped at random and mirrored as their views are.

    """

    store: Tensor
    at: Tensor
    chosen: Tensor
    sizes: Tensor | None = None
    cropped: bool = False


class Images(Protocol):
    """Where a split's images come from."""

    def read(self, batches: Sequence[Tensor], drawn: Sequence[Tensor], epoch: int) -> Iterator[Piece]:
        """The images of each batch of positions in the split (on the CPU), in order, for this epoch.

        ``drawn`` (on the CPU) is what the draws of the views depend on, beside the epoch.
        """

    def pick(self, chosen: Tensor) -> Piece:
        """The images at these positions (B,) in the split (on the device), at once.

        Raises:
            KdzooError: they are not in memory.

        """
