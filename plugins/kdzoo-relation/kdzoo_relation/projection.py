"""Learned linear maps from the student's width to the teacher's."""

from __future__ import annotations

from torch import Tensor, nn

from kdzoo.api import Output, at_least_float32


class Projection(nn.Linear):
    """A linear map of an embedding, in at least float32.

    Args:
        example: an output of the network, with its embedding.
        width: width of the result.
    """

    def __init__(self, example: Output, width: int) -> None:
        given = example.embedded
        super().__init__(given.shape[1], width, device=given.device, dtype=at_least_float32(given.dtype))

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, D) to (B, width)."""
        return super().forward(embedding.to(self.weight.dtype))


class Channels(nn.Conv2d):
    """A 1x1 convolution without bias to another number of channels, in at least float32.

    Args:
        example: a map (B, C, H, W) of the student.
        channels: channels of the result.
    """

    def __init__(self, example: Tensor, channels: int) -> None:
        dtype = at_least_float32(example.dtype)
        super().__init__(example.shape[1], channels, 1, bias=False, device=example.device, dtype=dtype)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, H, W) to (B, channels, H, W)."""
        return super().forward(feature.to(self.weight.dtype))
