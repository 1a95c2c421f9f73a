"""Images that are themselves what is optimised."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Canvas(nn.Module):
    """A batch of images as a parameter, and the best state that it was in.

    The parameter is in the units that a network sees, of mean 0 and variance 1, so that one learning rate serves
    all data; the images themselves are in [0, 1].

    Args:
        shape: (B, C, H, W).
        mean: (1, C, 1, 1) or a number, added to what is optimised.
        std: (1, C, 1, 1) or a number, by which that is multiplied before.

    Attributes:
        paint: what is optimised.
        best: the paint that had the least loss since :meth:`start`.
        least: that loss; infinite before any is known.
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
        """(B, C, H, W): the images, through which gradient flows into the paint."""
        return self.paint * self.std + self.mean

    @torch.no_grad()
    def start(self, noise: Tensor) -> None:
        """Begin anew from ``noise`` (B, C, H, W) of variance 1, as far as images can show it."""
        self.paint.copy_(noise)
        self.least.fill_(torch.inf)
        self.keep_in_range()

    @torch.no_grad()
    def remember(self, loss: Tensor) -> None:
        """Keep the paint as the best if ``loss`` (), which it has now, is the least so far."""
        better = loss.detach() < self.least
        self.best.copy_(torch.where(better, self.paint, self.best))
        self.least.copy_(torch.where(better, loss.detach(), self.least))

    @torch.no_grad()
    def keep_in_range(self) -> None:
        """Take the paint back to where the images are in [0, 1]; called after each update."""
        self.paint.copy_(self.paint.clamp(-self.mean / self.std, (1 - self.mean) / self.std))

    @torch.no_grad()
    def pixels(self) -> Tensor:
        """(B, C, H, W) uint8: the best images as a file holds them."""
        images = self.best * self.std + self.mean
        return (images.clamp(0, 1) * 255).round().to(torch.uint8)
