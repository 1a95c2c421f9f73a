"""Automatic augmentation: a few operations, chosen at random for each image, at strengths drawn for it.

RandAugment as timm has it, TrivialAugmentWide (Müller & Hutter 2021, arXiv 2103.10158) as torchvision has it, the
choice of 3-Augment (Touvron et al. 2022, arXiv 2204.07118), and the strong view of FixMatch (Sohn et al. 2020, arXiv
2001.07685) as code in PyTorch has it. Images are brought to 8 bits before each operation.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from kdzoo.counter_rng import below, draws, normal, uniform
from kdzoo.data import eight_bit, warp
from kdzoo.data.blur import blur, reach
from kdzoo.data.cutout import cutout
from kdzoo.data.planes import change
from kdzoo.recipe.auto_augment import FIXMATCH, MOST_LAYERS, THREE, TRIVIAL, RandAugment, parse

_FIRST = 160  # number of its first draw
_EACH = 4  # draws of a layer: the operation, whether it happens, its strength, its sign
_SAMPLING = _FIRST + _EACH * MOST_LAYERS  # a draw of each layer
_CUTOUT = _SAMPLING + MOST_LAYERS
_FULL = 10  # the magnitude of timm that stands for strength 1
_BINS = 31  # strengths of TrivialAugmentWide
_GREY = 128  # outside the image, in timm where the network's mean is not known
_WIDEST = 2.0  # sigma of 3-Augment's blur


class Warp(Protocol):
    """A function of :mod:`kdzoo.data.warp`."""

    def __call__(self, images: Tensor, number: Tensor, /, fill: int, mode: str) -> Tensor:
        """Move the pixels of images (B, C, H, W) uint8 by a number for each (B,)."""


@dataclass(frozen=True)
class Operation:
    """One of the operations that are chosen from.

    Attributes:
        name: as timm and torchvision call it.
        apply: takes images (B, C, H, W) uint8 and a number for each.
        number: that number, from a strength (B,), 1 being full, and a sign (B,), 1 or -1, in float64.
        geometric: whether it moves pixels, so that paired modalities must follow.
        finer: takes the place of ``apply`` for every other image, by chance.
    """

    name: str
    apply: Callable[[Tensor, Tensor], Tensor]
    number: Callable[[Tensor, Tensor], Tensor] = lambda strength, sign: strength
    geometric: bool = False
    finer: Callable[[Tensor, Tensor], Tensor] | None = None


def rand_operations(increasing: bool) -> tuple[Operation, ...]:
    """The operations of timm's RandAugment in its order, with its rules for magnitudes."""

    def enhanced(name: str, apply: Callable[[Tensor, Tensor], Tensor]) -> Operation:
        if increasing:
            return Operation(name, apply, lambda strength, sign: (1 + sign * 0.9 * strength).clamp(min=0.1))
        return Operation(name, apply, lambda strength, sign: 1.8 * strength + 0.1)

    def bits(strength: Tensor, sign: Tensor) -> Tensor:
        kept = (4 * strength).floor()
        return 4 - kept if increasing else kept

    def threshold(strength: Tensor, sign: Tensor) -> Tensor:
        level = (256 * strength).floor().clamp(max=256)
        return 256 - level if increasing else level

    def moved(name: str, how: Warp, largest: float) -> Operation:
        return Operation(
            name,
            partial(how, fill=_GREY, mode="bilinear"),
            partial(_signed, largest=largest),
            geometric=True,
            finer=partial(how, fill=_GREY, mode="bicubic"),
        )

    return (
        Operation("AutoContrast", eight_bit.auto_contrast),
        Operation("Equalize", eight_bit.equalize),
        Operation("Invert", eight_bit.invert),
        moved("Rotate", warp.rotate, 30),
        Operation("Posterize", eight_bit.posterize, bits),
        Operation("Solarize", eight_bit.solarize, threshold),
        Operation(
            "SolarizeAdd",
            eight_bit.solarize_add,
            lambda strength, sign: (110 * strength).floor().clamp(max=128),
        ),
        enhanced("Color", eight_bit.color),
        enhanced("Contrast", eight_bit.contrast),
        enhanced("Brightness", eight_bit.brightness),
        enhanced("Sharpness", eight_bit.sharpness),
        moved("ShearX", warp.shear_x, 0.3),
        moved("ShearY", warp.shear_y, 0.3),
        moved("TranslateX", _part_of_width, 0.45),
        moved("TranslateY", _part_of_height, 0.45),
    )


def trivial_operations() -> tuple[Operation, ...]:
    """The operations of torchvision's TrivialAugmentWide in its order, black outside the image."""

    def moved(
        name: str,
        how: Warp,
        number: Callable[[Tensor, Tensor], Tensor],
    ) -> Operation:
        return Operation(name, partial(how, fill=0, mode="nearest"), number, geometric=True)

    def whole_pixels(strength: Tensor, sign: Tensor) -> Tensor:
        return _signed(strength, sign, largest=32).trunc()

    def enhanced(name: str, apply: Callable[[Tensor, Tensor], Tensor]) -> Operation:
        return Operation(name, apply, lambda strength, sign: 1 + _signed(strength, sign, largest=0.99))

    return (
        Operation("Identity", lambda images, number: images),
        moved("ShearX", warp.shear_x, partial(_signed, largest=0.99)),
        moved("ShearY", warp.shear_y, partial(_signed, largest=0.99)),
        moved("TranslateX", warp.translate_x, whole_pixels),
        moved("TranslateY", warp.translate_y, whole_pixels),
        moved("Rotate", warp.rotate, partial(_signed, largest=135)),
        enhanced("Brightness", eight_bit.brightness),
        enhanced("Color", eight_bit.color),
        enhanced("Contrast", eight_bit.contrast),
        enhanced("Sharpness", eight_bit.sharpness),
        Operation("Posterize", eight_bit.posterize, lambda strength, sign: 8 - (6 * strength).round()),
        Operation("Solarize", eight_bit.solarize, lambda strength, sign: 255 * (1 - strength)),
        Operation("AutoContrast", eight_bit.auto_contrast),
        Operation("Equalize", eight_bit.equalize),
    )


def three_operations() -> tuple[Operation, ...]:
    """One of grey, solarise and blur."""

    def blurred(images: Tensor, sigma: Tensor) -> Tensor:
        return _bytes(blur(images / 255, sigma, reach(_WIDEST)))

    return (
        Operation("Grey", eight_bit.grey),
        Operation("Solarize", eight_bit.solarize, lambda strength, sign: torch.full_like(strength, 128)),
        Operation("Blur", blurred, lambda strength, sign: 0.1 + (_WIDEST - 0.1) * strength),
    )


def fixmatch_operations() -> tuple[Operation, ...]:
    """FixMatch's operations in the order of its code, at strengths from weakest to strongest; black outside."""

    def between(low: float, high: float) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda strength, sign: low + (high - low) * strength

    def moved(name: str, how: Warp, largest: float) -> Operation:
        apply = partial(how, fill=0, mode="nearest")
        return Operation(name, apply, between(-largest, largest), geometric=True)

    return (
        Operation("AutoContrast", eight_bit.auto_contrast),
        Operation("Brightness", eight_bit.brightness, between(0.05, 0.95)),
        Operation("Color", eight_bit.color, between(0.05, 0.95)),
        Operation("Contrast", eight_bit.contrast, between(0.05, 0.95)),
        Operation("Equalize", eight_bit.equalize),
        Operation("Identity", lambda images, number: images),
        Operation("Posterize", eight_bit.posterize, lambda strength, sign: (4 + 4 * strength).floor()),
        moved("Rotate", warp.rotate, 30),
        Operation("Sharpness", eight_bit.sharpness, between(0.05, 0.95)),
        moved("ShearX", warp.shear_x, 0.3),
        moved("ShearY", warp.shear_y, 0.3),
        Operation("Solarize", eight_bit.solarize, between(0, 256)),
        moved("TranslateX", _part_of_width, 0.3),
        moved("TranslateY", _part_of_height, 0.3),
    )


_OTHERS = {TRIVIAL: trivial_operations, THREE: three_operations, FIXMATCH: fixmatch_operations}


@dataclass(frozen=True)
class Layer:
    """What is drawn for each image (B,): an operation's place, whether it happens, strength, sign, how to sample."""

    chosen: Tensor
    happens: Tensor
    strength: Tensor
    sign: Tensor
    fine: Tensor


class AutoAugment:
    """Augments images as ``data.augment.auto_augment`` says."""

    def __init__(self, name: str) -> None:
        asked = parse(name)
        self._rand = asked if isinstance(asked, RandAugment) else None
        self._bins = _BINS if asked == TRIVIAL else None
        self._count = asked.layers if isinstance(asked, RandAugment) else 2 if asked == FIXMATCH else 1
        self._cutout = asked == FIXMATCH
        self.operations: Sequence[Operation] = (
            rand_operations(asked.increasing) if isinstance(asked, RandAugment) else _OTHERS[asked]()
        )

    def layers(self, seeded: int, index: Tensor) -> list[Layer]:
        """What is drawn for the samples ``index`` (B,), on the CPU: the host chooses the operations."""
        drawn = draws(seeded, index, range(_FIRST, _FIRST + _EACH * self._count)).cpu()
        sampling = draws(seeded, index, range(_SAMPLING, _SAMPLING + self._count)).cpu()
        return [self._layer(*one) for one in zip(torch.split(drawn, _EACH), sampling, strict=True)]

    def __call__(self, images: Tensor, seeded: int, index: Tensor, color: bool = True) -> Tensor:
        """Augment images (B, C, H, W) in [0, 1] in place; without ``color``, geometric operations alone.

        Args:
            images: of the samples ``index``.
            seeded: key of the draws.
            index: (B,) what each image's draws depend on.
            color: whether operations that move no pixel take place.

        """
        for layer in self.layers(seeded, index):
            for place, operation in enumerate(self.operations):
                asked = (layer.chosen == place) & layer.happens
                if not (color or operation.geometric):
                    continue
                for apply, fine in ((operation.apply, False), (operation.finer, True)):
                    rows = (asked & (layer.fine == fine)).nonzero()[:, 0]
                    if len(rows):
                        number = operation.number(layer.strength[rows], layer.sign[rows]).to(images.device)
                        how = partial(_apply, apply or operation.apply, number)
                        change(images, rows.to(images.device), how)
        return cutout(images, seeded, index, _CUTOUT) if self._cutout else images

    def _layer(self, drawn: Tensor, sampling: Tensor) -> Layer:
        chosen = below(drawn[0], len(self.operations))
        happens = torch.ones_like(chosen, dtype=torch.bool)
        strength = uniform(drawn[2]).to(torch.float64)
        if self._rand:
            happens = uniform(drawn[1]) < self._rand.probability
            magnitude = self._rand.magnitude * strength
            if not math.isinf(self._rand.deviation):
                noise = normal(drawn[2]).to(torch.float64)
                magnitude = self._rand.magnitude + self._rand.deviation * noise
            strength = magnitude.clamp(0, self._rand.largest) / _FULL
        elif self._bins:
            strength = below(drawn[2], self._bins).to(torch.float64) / (self._bins - 1)
        sign = (1 - 2 * below(drawn[3], 2)).to(torch.float64)
        return Layer(chosen, happens, strength, sign, below(sampling, 2) == 1)


named = functools.cache(AutoAugment)
"""The automatic augmentation of a name, made once."""


def _apply(how: Callable[[Tensor, Tensor], Tensor], number: Tensor, part: Tensor, some: Tensor) -> Tensor:
    return how(_bytes(part), number[some]).to(torch.float32).div_(255)


def _bytes(images: Tensor) -> Tensor:
    return (images * 255).round_().to(torch.uint8)


def _signed(strength: Tensor, sign: Tensor, largest: float) -> Tensor:
    return sign * largest * strength


def _part_of_width(images: Tensor, part: Tensor, fill: int, mode: str) -> Tensor:
    return warp.translate_x(images, part * images.shape[3], fill, mode)


def _part_of_height(images: Tensor, part: Tensor, fill: int, mode: str) -> Tensor:
    return warp.translate_y(images, part * images.shape[2], fill, mode)
