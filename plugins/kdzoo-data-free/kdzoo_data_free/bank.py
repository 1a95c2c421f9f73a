"""A memory of generated images."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.api import Run

_IMAGES, _MADE = "data-free/images", "data-free/made"


class Bank:
    """Images with eight bits in ``run.state``; new images replace the oldest.

    Args:
        run: the run; the images are in its state, and so in its checkpoint.
        room: largest number of images.

    """

    def __init__(self, run: Run, room: int) -> None:
        self._run = run
        size = run.data.img_size
        if _IMAGES not in run.state:
            shape = (room, run.data.channels["image"], size, size)
            run.state[_IMAGES] = torch.zeros(shape, dtype=torch.uint8, device=run.device)
            run.state[_MADE] = 0
        else:
            run.state[_IMAGES] = run.state[_IMAGES].to(run.device)

    def __len__(self) -> int:
        kept: Tensor = self._run.state[_IMAGES]
        return min(int(self._run.state[_MADE]), len(kept))

    def add(self, images: Tensor) -> None:
        """Store (B, C, H, W) images in [0, 1]; if there are more than ``room``, the last ones."""
        kept: Tensor = self._run.state[_IMAGES]
        images = images.detach()[-len(kept) :]
        made = int(self._run.state[_MADE])
        rows = torch.arange(made, made + len(images), device=kept.device) % len(kept)
        kept[rows] = (images * 255).round().to(torch.uint8)
        self._run.state[_MADE] = made + len(images)

    def draw(self, rows: int) -> Tensor:
        """(rows, C, H, W) random images, with replacement, drawn with a generator of the run."""
        chosen = torch.randint(
            len(self), (rows,), generator=self._run.generator("bank"), device=self._run.device
        )
        images: Tensor = self._run.state[_IMAGES][chosen]
        return images.float() / 255

    def latest(self, rows: int) -> Tensor:
        """The last (rows, C, H, W) images that were added, or as many as there are."""
        kept: Tensor = self._run.state[_IMAGES]
        made = int(self._run.state[_MADE])
        first = made - min(rows, len(self))
        return kept[torch.arange(first, made, device=kept.device) % len(kept)].float() / 255
