"""A run's pictures: PNG files in its folder, and their events."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor
from torch.nn import functional
from torchvision.utils import make_grid

from kdzoo.api.observer import Event, Pictured
from kdzoo.errors import KdzooError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 64
"""Images in a grid."""

_LEAST_SIDE = 64
"""Smaller images are enlarged to this many pixels, each pixel a square, so that people can see them."""


class Gallery:
    """``pictures/`` in the folder of a run; ``notify`` is told of each. Of several processes only one ``writes``."""

    def __init__(self, folder: Path, notify: Callable[[Event], None], *, writes: bool = True) -> None:
        self.folder = folder
        self.epoch = 0
        self._notify = notify
        self._writes = writes

    def save(self, name: str, picture: Tensor | Figure) -> None:
        """Save a picture as of this epoch; see :meth:`kdzoo.api.Run.picture`.

        Raises:
            KdzooError: it cannot be written.
        """
        if not self._writes:
            return
        path = self.folder / "pictures" / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}-{self.epoch:04d}.png"
        try:
            path.parent.mkdir(exist_ok=True)
            if isinstance(picture, Tensor):
                _grid(picture).save(path)
            else:
                picture.savefig(path, dpi=150, bbox_inches="tight", metadata={"Software": None})
        except OSError as error:
            raise KdzooError(f"{path}: cannot write the picture: {error.strerror or error}") from None
        self._notify(Pictured(name, path, self.epoch))


def _grid(images: Tensor) -> Image.Image:
    images = images.detach().float().clamp(0, 1).cpu()[:_MOST]
    scale = math.ceil(_LEAST_SIDE / images.shape[-1])
    if scale > 1:
        images = functional.interpolate(images, scale_factor=scale, mode="nearest")
    sheet = make_grid(images, nrow=math.ceil(math.sqrt(len(images))))
    return Image.fromarray((sheet * 255).round().byte().permute(1, 2, 0).numpy())
