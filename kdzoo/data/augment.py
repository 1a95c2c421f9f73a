"""Views of stored images, whole batches at a time, on the device where the images are.

A view is a pure function of (seed, epoch, index): which other samples share its batch, how many processes
there are and where it is computed make no difference.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.counter_rng import below, draws, key, uniform
from kdzoo.data import color as colors
from kdzoo.data import crops
from kdzoo.data.auto_augment import AutoAugment
from kdzoo.data.blur import blur, reach
from kdzoo.data.erasing import erase
from kdzoo.data.form import Crop
from kdzoo.data.planes import change, in_cache
from kdzoo.data.threads import one_thread
from kdzoo.data.unit import Finish, to_unit
from kdzoo.recipe.augment import AugmentConfig

# each operation has draws of its own, so that turning one on leaves the others as they were
_GEOMETRY = range(0, 3)
_ANGLE = range(3, 4)
_COLOR = range(4, 7)
_RESIZED_CROP = range(12, 12 + crops.DRAWS)
_VERTICAL = range(40, 41)
_COLOR_HIT, _HUE = range(41, 42), range(42, 43)
_GREY, _SOLARIZE = range(43, 44), range(44, 45)
_BLUR_HIT, _BLUR = range(45, 46), range(46, 47)
# 7 to 11 and 47 to 159 are those of random erasing, from 160 on those of automatic augmentation


_LARGE = 3 * 64**2
"""Numbers of an image that is worth calls of its own."""


def plain(store: Tensor, at: Tensor) -> Tensor:
    """The images at positions ``at`` (B,) of ``store`` (N, H, W, C) uint8 as (B, H, W, C) float in [0, 1]."""
    return store.index_select(0, at).to(torch.float32).div_(255)


def crop_and_flip(
    store: Tensor, at: Tensor, pad: int, drawn: Tensor, hflip: float, padding: str = "zeros"
) -> Tensor:
    """Images padded by ``pad`` pixels, cropped back at random and mirrored with probability ``hflip``.

    The crop is one gather of whole pixel rows: the padded images, seen as one long string of bytes, have a
    window of one row's length beginning at every byte. Mirror images lie behind the originals, to be chosen
    from in the same gather.

    Args:
        store: (N, H, W, C) uint8.
        at: (B,) positions in the store.
        pad: pixels on each side.
        drawn: (3, B) draws, for the vertical and the horizontal place of the crop and for the mirror.
        hflip: probability.
        padding: ``zeros``, or ``reflect`` for the image mirrored at its outermost pixels.

    Returns:
        (B, H, W, C) float in [0, 1].

    """
    images = store.index_select(0, at)
    batch, height, width, channels = images.shape
    which = torch.arange(batch, device=images.device)
    if hflip > 0:
        images = torch.cat([images, images.flip(2)])
        which = which + batch * (uniform(drawn[2]) < hflip)
    images = F.pad(images, (0, 0, pad, pad, pad, pad)) if padding == "zeros" else _mirrored(images, pad)
    high, wide = images.shape[1:3]
    top = below(drawn[0], 2 * pad + 1)
    left = below(drawn[1], 2 * pad + 1)
    row = torch.arange(height, device=images.device)
    begin = ((which * high + top)[:, None] + row) * wide + left[:, None]
    length = width * channels
    windows = images.view(-1).as_strided((images.numel() - length + 1, length), (1, 1))
    cropped = windows.index_select(0, (begin * channels).view(-1))
    return cropped.view(batch, height, width, channels).to(torch.float32).div_(255)


def _mirrored(images: Tensor, pad: int) -> Tensor:
    for dimension in (1, 2):
        last = images.shape[dimension] - 1
        place = torch.arange(-pad, last + pad + 1, device=images.device).abs()
        images = images.index_select(dimension, (last - (last - place).abs()).clamp(min=0))
    return images


def flip_rows(images: Tensor, drawn: Tensor, vflip: float) -> Tensor:
    """(B, C, H, W) in channels_last memory, upside down with probability ``vflip``; ``drawn`` is (B,)."""
    batch, channels, height, width = images.shape
    row = torch.arange(height, device=images.device)
    flipped = (uniform(drawn) < vflip)[:, None]
    source = (
        row.where(~flipped, height - 1 - row) + height * torch.arange(batch, device=images.device)[:, None]
    )
    rows = (
        images.permute(0, 2, 3, 1).reshape(batch * height, width * channels).index_select(0, source.view(-1))
    )
    return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)


def rotate(images: Tensor, drawn: Tensor, degrees: float) -> Tensor:
    """Turn (B, C, H, W) by up to ``degrees`` either way, bilinear, black outside; ``drawn`` is (1, B)."""
    from kornia.geometry.transform import rotate as turn  # loads for seconds, and few runs need it

    turned: Tensor = turn(images, uniform(drawn[0], -degrees, degrees))
    return turned


class Augment:
    """Training views as a configuration asks for; ``side`` is theirs in pixels where it is not the store's.

    Attributes:
        repeats: views of a sample in an epoch's batches.
    """

    def __init__(self, config: AugmentConfig, seed: int, side: int | None = None) -> None:
        self._config = config
        self._seed = seed
        self._side = side
        self._automatic = AutoAugment(config.auto_augment) if config.auto_augment else None
        self.repeats = config.repeats

    def plain(self, store: Tensor, at: Tensor, sizes: Tensor | None = None) -> Tensor:
        """The images without variation, (B, C, H, W) in [0, 1]; of squashed ones of these ``sizes`` the centre."""
        if sizes is None:
            return plain(store, at).permute(0, 3, 1, 2)
        side = self._side or store.shape[1]
        found = crops.onto(store.shape[1], crops.centre(sizes), sizes)
        mirrored = torch.zeros_like(at, dtype=torch.bool)
        return to_unit(crops.resample(store, at, found, side, mirrored, self._config.interpolation)).permute(
            0, 3, 1, 2
        )

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
        weak: bool = False,
        sizes: Tensor | None = None,
        cropped: bool = False,
        automatic: AutoAugment | None = None,
    ) -> Tensor:
        """The views of the samples ``index`` (B,), which lie at ``at`` (B,) in ``store`` (N, H, W, C) uint8.

        ``view`` 0 is what training sees; each other number draws everything anew. Without ``color`` nothing but
        the geometry changes: so another modality of the same samples stays in its place below the first. A ``weak``
        view is cropped and flipped as the view of that number, and varied no further; with ``automatic`` by that
        alone. ``sizes`` (B, 2) are the true widths and heights of pictures that the store has squashed; those that
        are ``cropped`` come from :meth:`crops`.

        Returns:
            (B, C, H, W) float in [0, 1], in channels_last memory unless an operation left it otherwise.

        """
        config = self._config
        seeded = self._key(epoch, view)
        resized = cropped or config.scale is not None
        weak = weak or automatic is not None
        between = weak or config.vflip or config.rotate or self._automatic
        early = color and resized and not between and self._jitters_each(store, self._side or store.shape[1])
        finish = self._jitter(seeded, index) if early else None
        if cropped:
            with one_thread():  # other processes are opening the next ones
                images = to_unit(store.index_select(0, at), finish)
        elif config.scale is not None:
            images = to_unit(self._resized_crop(store, at, index, seeded, config.scale, sizes), finish)
        elif config.crop or config.hflip:
            drawn = draws(seeded, index, _GEOMETRY)
            images = crop_and_flip(store, at, config.crop, drawn, config.hflip, config.crop_padding)
        else:
            images = plain(store, at)
        images = images.permute(0, 3, 1, 2)
        if config.vflip:
            images = flip_rows(images, draws(seeded, index, _VERTICAL)[0], config.vflip)
        if weak:
            return automatic(images, seeded, index, color) if automatic else images
        if config.rotate:
            images = rotate(images, draws(seeded, index, _ANGLE), config.rotate)
        if self._automatic:
            images = self._automatic(images, seeded, index, color)
        if color:
            self._color(images, seeded, index, jittered=early)
        if config.erase:
            images = erase(images, seeded, index, config)
        return images

    def _jitters_each(self, images: Tensor, side: int) -> bool:
        """Whether colours are changed image by image: of (B, H, W, C) large colour images on a CPU."""
        large = images.shape[3] == 3 and 3 * side**2 >= _LARGE and images.device.type == "cpu"
        return large and bool(self._config.color) and not self._config.hue

    def _factors(self, seeded: int, index: Tensor) -> tuple[Tensor | None, Tensor]:
        """Which images (b,) colour jitter changes, None for all, and their factors (3, b)."""
        rows = self._hit(seeded, index, _COLOR_HIT, self._config.color_prob)
        drawn = draws(seeded, index if rows is None else index[rows], _COLOR)
        return rows, uniform(drawn, max(0.0, 1 - self._config.color), 1 + self._config.color)

    def _jitter(self, seeded: int, index: Tensor) -> Finish:
        """Brightness, contrast and saturation of some images of the batch; a factor of 1 changes nothing."""
        rows, factors = self._factors(seeded, index)
        if rows is not None:
            factors = factors.new_ones(len(factors), len(index)).index_copy_(1, rows, factors)
        return lambda images, some: colors.jitter(images, *factors[:, some])

    def _color(self, images: Tensor, seeded: int, index: Tensor, jittered: bool) -> None:
        """Colour jitter, unless it is done, grey, blur and solarising, in place."""
        config = self._config
        pixels = images.permute(0, 2, 3, 1)
        if jittered:
            pass
        elif pixels.is_contiguous() and self._jitters_each(pixels, pixels.shape[1]):
            each = self._jitter(seeded, index)
            for some in in_cache(pixels):
                each(pixels[some], some)
        elif config.color or config.hue:
            rows, factors = self._factors(seeded, index)
            turned = draws(seeded, index if rows is None else index[rows], _HUE)[0]
            turn = uniform(turned, -config.hue, config.hue)

            def jitter(part: Tensor, some: Tensor) -> Tensor:
                if config.color:
                    brighter, farther, fuller = factors[:, some]
                    part = colors.saturate(colors.contrast(colors.brighten(part, brighter), farther), fuller)
                return colors.turn_hue(part, turn[some]) if config.hue else part

            change(images, rows, jitter)
        if config.grey:
            change(images, self._hit(seeded, index, _GREY, config.grey), lambda part, some: colors.fade(part))
        if config.blur:
            rows = self._hit(seeded, index, _BLUR_HIT, config.blur)
            low, high = config.blur_sigma
            sigma = uniform(draws(seeded, index if rows is None else index[rows], _BLUR)[0], low, high)
            change(images, rows, lambda part, some: blur(part, sigma[some], reach(high)))
        if config.solarize:
            rows = self._hit(seeded, index, _SOLARIZE, config.solarize)
            change(images, rows, lambda part, some: colors.solarize(part))

    @staticmethod
    def _hit(seeded: int, index: Tensor, number: range, probability: float) -> Tensor | None:
        """Which samples an operation changes; None for all, of which a GPU need not tell the host."""
        if probability == 1:
            return None
        return (uniform(draws(seeded, index, number)[0]) < probability).nonzero()[:, 0]

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
        return crops.resample(store, at, found, side, mirrored, mode)
