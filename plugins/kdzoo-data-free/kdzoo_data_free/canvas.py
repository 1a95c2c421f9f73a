"""Images as parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Canvas(nn.Module):
    """A batch of images as a parameter, and its best state so far.

    The parameter is normalised as a network's input, with mean 0 and variance 1, so that one learning rate
    fits all data; the images are in [0, 1].

    Args:
        shape: (B, C, H, W).
        mean: (1, C, 1, 1) or a number, added to the scaled parameter.
        std: (1, C, 1, 1) or a number, the scale of the parameter.

    Attributes:
        paint: the parameter.
        best: the parameter's value with the smallest loss since :meth:`start`.
        least: that loss; infinite before the first.
    """

    best: Tensor
    least: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self, shape: tuple[int, int, int, int], mean: Tensor | float = 0.5, std: Tensor | float = 0.25
    ) -> None:
        super().__init__()
        self.paint = nn.Parameter(torch.zeros(shape))
        self.register_buffer("best", torch.zeros(shape))
        self.register_buffer("least", torch.tensor(torch.inf))
        self.register_buffer("mean", torch.as_tensor(mean).detach().clone(), persistent=False)
        self.register_buffer("std", torch.as_tensor(std).detach().clone(), persistent=False)

    def forward(self) -> Tensor:
        """(B, C, H, W): the images, with gradient to the parameter."""
        return self.paint * self.std + self.mean

    @torch.no_grad()
    def start(self, noise: Tensor) -> None:
        """Start again from ``noise`` (B, C, H, W) of variance 1, clipped to the range of images."""
        self.paint.copy_(noise)
        self.least.fill_(torch.inf)
        self.keep_in_range()

    @torch.no_grad()
    def remember(self, loss: Tensor) -> None:
        """Keep the current parameter as the best if its ``loss`` () is the smallest so far."""
        better = loss.detach() < self.least
        self.best.copy_(torch.where(better, self.paint, self.best))
        self.least.copy_(torch.where(better, loss.detach(), self.least))

    @torch.no_grad()
    def keep_in_range(self) -> None:
        """Clip the parameter so that the images are in [0, 1]; call it after each update."""
        self.paint.copy_(self.paint.clamp(-self.mean / self.std, (1 - self.mean) / self.std))

    @torch.no_grad()
    def pixels(self) -> Tensor:
        """(B, C, H, W) uint8: the best images, as in the files."""
        images = self.best * self.std + self.mean
        return (images.clamp(0, 1) * 255).round().to(torch.uint8)
