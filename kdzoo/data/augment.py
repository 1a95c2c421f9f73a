"""Views of stored images, whole batches at a time, on the device where the images are.

A view is a pure function of (seed, epoch, index): which other samples share its batch, how many processes
there are and where it is computed make no difference.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.counter_rng import below, draws, key, uniform
from kdzoo.data import crops
from kdzoo.data.form import Crop
from kdzoo.recipe.model import AugmentConfig

# each operation has draws of its own, so that turning one on leaves the others as they were
_GEOMETRY = range(0, 3)
_ANGLE = range(3, 4)
_COLOR = range(4, 7)
_ERASE = range(7, 12)
_RESIZED_CROP = range(12, 12 + crops.DRAWS)
_ERASED_AREA = 0.02, 1 / 3
_ERASED_LOG_RATIO = math.log(10 / 3)


def plain(store: Tensor, at: Tensor) -> Tensor:
    """The images at positions ``at`` (B,) of ``store`` (N, H, W, C) uint8 as (B, H, W, C) float in [0, 1]."""
    return store.index_select(0, at).to(torch.float32).div_(255)


def crop_and_flip(store: Tensor, at: Tensor, pad: int, drawn: Tensor, hflip: float) -> Tensor:
    """Images padded by ``pad`` zeros, cropped back at random and mirrored with probability ``hflip``.

    The crop is one gather of whole pixel rows: the padded images, seen as one long string of bytes, have a
    window of one row's length beginning at every byte. Mirror images lie behind the originals, to be chosen
    from in the same gather.

    Args:
        store: (N, H, W, C) uint8.
        at: (B,) positions in the store.
        pad: pixels on each side.
        drawn: (3, B) draws, for the vertical and the horizontal place of the crop and for the mirror.
        hflip: probability.

    Returns:
        (B, H, W, C) float in [0, 1].

    """
    images = store.index_select(0, at)
    batch, height, width, channels = images.shape
    which = torch.arange(batch, device=images.device)
    if hflip > 0:
        images = torch.cat([images, images.flip(2)])
        which = which + batch * (uniform(drawn[2]) < hflip)
    images = F.pad(images, (0, 0, pad, pad, pad, pad))
    high, wide = images.shape[1:3]
    top = below(drawn[0], 2 * pad + 1)
    left = below(drawn[1], 2 * pad + 1)
    row = torch.arange(height, device=images.device)
    begin = ((which * high + top)[:, None] + row) * wide + left[:, None]
    length = width * channels
    windows = images.view(-1).as_strided((images.numel() - length + 1, length), (1, 1))
    cropped = windows.index_select(0, (begin * channels).view(-1))
    return cropped.view(batch, height, width, channels).to(torch.float32).div_(255)


def rotate(images: Tensor, drawn: Tensor, degrees: float) -> Tensor:
    """Turn (B, C, H, W) by up to ``degrees`` either way, bilinear, black outside; ``drawn`` is (1, B)."""
    from kornia.geometry.transform import rotate as turn  # loads for seconds, and few runs need it

    turned: Tensor = turn(images, uniform(drawn[0], -degrees, degrees))
    return turned


def jitter(images: Tensor, drawn: Tensor, strength: float) -> Tensor:
    """Brightness, contrast and saturation, each times a factor within 1 ± ``strength``; ``drawn`` is (3, B)."""
    from kornia.enhance import adjust_brightness_accumulative, adjust_saturation_with_gray_subtraction

    brightness, contrast, saturation = uniform(drawn, max(0.0, 1 - strength), 1 + strength)
    images = adjust_brightness_accumulative(images, brightness)
    # kornia's contrast takes a float mean, whose rounding depends on the batch; a sum of integers does not
    total = (images * 65536).to(torch.int64).sum((1, 2, 3))
    mean = (total.to(torch.float64) / (65536 * images[0].numel())).to(torch.float32)
    contrast, mean = contrast[:, None, None, None], mean[:, None, None, None]
    images = (images * contrast + mean * (1 - contrast)).clamp(0, 1)
    colored: Tensor = adjust_saturation_with_gray_subtraction(images, saturation)
    return colored


def erase(images: Tensor, drawn: Tensor, probability: float) -> Tensor:
    """Blacken a rectangle of 2 to 33 % of the area, its sides' ratio within 0.3 to 1 / 0.3; ``drawn`` is (5, B).

    Random erasing (Zhong et al. 2020, arXiv 1708.04896), with black for the fill.
    """
    height, width = images.shape[-2:]
    hit, area, ratio, top, left = uniform(drawn)
    low, high = _ERASED_AREA
    area = (low + (high - low) * area) * height * width
    ratio = torch.exp((2 * ratio - 1) * _ERASED_LOG_RATIO)
    tall = (area * ratio).sqrt().clamp(max=height).round()
    wide = (area / ratio).sqrt().clamp(max=width).round()
    row = torch.arange(height, device=images.device)
    column = torch.arange(width, device=images.device)
    inside_rows = _within(row, (top * (height - tall + 1)).floor(), tall)
    inside_columns = _within(column, (left * (width - wide + 1)).floor(), wide)
    inside = inside_rows[:, :, None] & inside_columns[:, None, :] & (hit < probability)[:, None, None]
    return images.masked_fill(inside[:, None], 0.0)


def _within(position: Tensor, begin: Tensor, length: Tensor) -> Tensor:
    return (position >= begin[:, None]) & (position < (begin + length)[:, None])


class Augment:
    """Training views as a configuration asks for; ``side`` is theirs in pixels where it is not the store's."""

    def __init__(self, config: AugmentConfig, seed: int, side: int | None = None) -> None:
        self._config = config
        self._seed = seed
        self._side = side

    def plain(self, store: Tensor, at: Tensor, sizes: Tensor | None = None) -> Tensor:
        """The images without variation, (B, C, H, W) in [0, 1]; of squashed ones of these ``sizes`` the centre."""
        if sizes is None:
            return plain(store, at).permute(0, 3, 1, 2)
        side = self._side or store.shape[1]
        found = crops.onto(store.shape[1], crops.centre(sizes), sizes)
        mirrored = torch.zeros_like(at, dtype=torch.bool)
        shown = crops.resample(store, at, found, side, mirrored, self._config.interpolation, unit=True)
        return shown.permute(0, 3, 1, 2)

    def crops(self, index: Tensor, sizes: Tensor, epoch: int) -> list[Crop]:
        """The random resized crops of samples (B,) of these true ``sizes`` (B, 2), to be made of opened images."""
        assert self._config.scale is not None
        assert self._side is not None
        found, mirrored = self._place(index, sizes, self._key(epoch, 0), self._config.scale)
        boxes, flips = found.tolist(), mirrored.tolist()
        side, mode = self._side, self._config.interpolation
        return [
            Crop(side, tuple(size), tuple(box), flip, mode)
            for size, box, flip in zip(sizes.tolist(), boxes, flips, strict=True)
        ]

    def __call__(
        self,
        store: Tensor,
        at: Tensor,
        index: Tensor,
        epoch: int,
        view: int = 0,
        color: bool = True,
        sizes: Tensor | None = None,
        cropped: bool = False,
    ) -> Tensor:
        """The views of the samples ``index`` (B,), which lie at ``at`` (B,) in ``store`` (N, H, W, C) uint8.

        ``view`` 0 is what training sees; each other number draws everything anew. Without ``color`` nothing but
        the geometry changes: so another modality of the same samples stays in its place below the first.
        ``sizes`` (B, 2) are the true widths and heights of pictures that the store has squashed; those that are
        ``cropped`` come from :meth:`crops`.

        Returns:
            (B, C, H, W) float in [0, 1], in channels_last memory unless an operation left it otherwise.

        """
        config = self._config
        seeded = self._key(epoch, view)
        if cropped:
            images = store.index_select(0, at).to(torch.float32).mul_(crops.UNIT)
        elif config.scale is not None:
            images = self._resized_crop(store, at, index, seeded, config.scale, sizes)
        elif config.crop or config.hflip:
            images = crop_and_flip(store, at, config.crop, draws(seeded, index, _GEOMETRY), config.hflip)
        else:
            images = plain(store, at)
        images = images.permute(0, 3, 1, 2)
        if config.rotate:
            images = rotate(images, draws(seeded, index, _ANGLE), config.rotate)
        if config.color and color:
            images = jitter(images, draws(seeded, index, _COLOR), config.color)
        if config.erase:
            images = erase(images, draws(seeded, index, _ERASE), config.erase)
        return images

    def _key(self, epoch: int, view: int) -> int:
        return key("augment", self._seed, epoch, *([view] if view else []))

    def _place(
        self, index: Tensor, sizes: Tensor, seeded: int, scale: tuple[float, float]
    ) -> tuple[Tensor, Tensor]:
        """The boxes (B, 4) of pictures of these sizes (B, 2), and which are mirrored (B,)."""
        found = crops.boxes(draws(seeded, index, _RESIZED_CROP), sizes, scale, self._config.ratio)
        return found, uniform(draws(seeded, index, _GEOMETRY)[2]) < self._config.hflip

    def _resized_crop(
        self,
        store: Tensor,
        at: Tensor,
        index: Tensor,
        seeded: int,
        scale: tuple[float, float],
        sizes: Tensor | None,
    ) -> Tensor:
        height, width = store.shape[1:3]
        if sizes is None:
            sizes = torch.tensor([width, height], device=index.device).expand(len(index), 2)
            found, mirrored = self._place(index, sizes, seeded, scale)
        else:
            found, mirrored = self._place(index, sizes, seeded, scale)
            found = crops.onto(height, found, sizes)
        side, mode = self._side or height, self._config.interpolation
        return crops.resample(store, at, found, side, mirrored, mode, unit=True)
